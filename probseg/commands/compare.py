"""``probseg compare``: a leaderboard of tested runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from probseg.errors import ProbsegError
from probseg.report.leaderboard import ordered_by, to_markdown, write_leaderboard
from probseg.report.reading import find_runs, load_run

DESCRIPTION = "Write the figures of tested runs side by side, the best first, as CSV, Markdown and LaTeX."
EXAMPLE = "probseg compare runs/probabilistic_unet runs/deterministic --out comparison"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="run folder of `probseg test`, or a folder with runs/ inside like the demo's",
    )
    parser.add_argument("--by", default="ged_v", metavar="FIGURE", help="what to sort by (default: ged_v)")
    parser.add_argument("--out", type=Path, default=Path("comparison"), help="folder (default: comparison)")
    parser.add_argument("--overwrite", action="store_true", help="replace a comparison that is there already")


def run(args: argparse.Namespace) -> int:
    """Print the table and write it."""
    if (args.out / "leaderboard.md").exists() and not args.overwrite:
        raise ProbsegError(
            "E_OUTPUT_EXISTS", f"'{args.out}' holds a comparison already; give another --out, or --overwrite"
        )
    if (args.out / "config.yaml").exists():  # whose results.csv would be replaced
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{args.out}' is a run folder; give another --out")
    runs = [load_run(folder) for folder in find_runs(args.runs)]
    ordered_by(runs, args.by)  # refuses an unknown figure before anything is written
    args.out.mkdir(parents=True, exist_ok=True)
    ordered = write_leaderboard(runs, args.out, args.by)
    print(to_markdown(ordered), end="")
    print(f"wrote {args.out}/results.csv, leaderboard.md, leaderboard.tex")
    print(f"next: probseg report {' '.join(str(r.folder) for r in ordered)} --out report.html")
    return 0
