"""``probseg report``: one self-contained page of tested runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from probseg.report import build_report

DESCRIPTION = "Write one self-contained HTML page of tested runs: figures, pictures, calibration, provenance."
EXAMPLE = "probseg report runs/probabilistic-unet runs/deterministic --out report.html"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "folders",
        metavar="DIR",
        type=Path,
        nargs="+",
        help="run folder of `probseg test`, folder with runs/ inside like the demo's, or folder of `probseg agreement`",
    )
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write (default: report.html)")


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    path = build_report(args.folders, args.out)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    print(f"next: open {path.resolve().as_uri()} in a browser")
    return 0
