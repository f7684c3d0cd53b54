"""``probseg demo``: the whole path on real data, in minutes."""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

from probseg.errors import ProbsegError

__all__ = ["DESCRIPTION", "EXAMPLE", "configure", "run"]

DESCRIPTION = (
    "Trains four families of models on the bundled sample of lung nodules with four radiologists each, compares them "
    "with the radiologists on patients that they have not seen, and writes a report. Needs no network and no GPU."
)
EXAMPLE = "probseg demo --out demo"
_SHOWN = ("ged_v", "ged_u", "ged_floor", "hm_iou", "soft_dice", "nll", "ece")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="new folder for the results (default: demo)")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier demo in --out")
    parser.add_argument("--steps", type=int, default=None, help="training steps of each family, for a quick trial")


def run(args: argparse.Namespace) -> int:
    """Run the demo and print its table."""
    if args.steps is not None and args.steps < 1:
        raise ProbsegError("E_USAGE", f"--steps must be at least 1, but is {args.steps}")
    if args.out.exists() and not args.out.is_dir():
        raise ProbsegError("E_OUTPUT_EXISTS", f"--out '{args.out}' is a file; give a folder")
    if args.out.is_dir() and any(args.out.iterdir()):
        if not args.overwrite:
            raise ProbsegError("E_OUTPUT_EXISTS", f"'{args.out}' is not empty; give another --out or --overwrite")
        _clear(args.out)
    from probseg.demo import run_demo

    start = time.monotonic()
    report = run_demo(args.out, args.steps)
    _print_table(args.out / "results.csv")
    print(f"wrote {report} and {args.out}/results.csv in {time.monotonic() - start:.0f} s")
    print(f"next: open {report} in a browser, then try")
    print("  probseg agreement lidc-sample --out agreement")
    print(f"  probseg test -c {args.out}/runs/probabilistic_unet/config.yaml")
    return 0


def _clear(out: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    import shutil

    strange = sorted(p.name for p in out.iterdir() if p.name not in ("runs", "logs", "results.csv", "report.html"))
    if strange:
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{out}' holds '{strange[0]}', which no demo wrote; give another --out")
    for path in out.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _print_table(path: Path) -> None:
    """The headline figures, one line a family, within eighty columns."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    print(f"{'family':<20}" + "".join(f"{name:>{max(len(name), 5) + 2}}" for name in _SHOWN))
    for family in dict.fromkeys(r["family"] for r in rows):
        values = {r["metric"]: r["value"] for r in rows if r["family"] == family}
        cells = (f"{float(values[m]):.3f}" if values.get(m) else "-" for m in _SHOWN)
        print(f"{family:<20}" + "".join(f"{c:>{max(len(m), 5) + 2}}" for c, m in zip(cells, _SHOWN, strict=True)))
