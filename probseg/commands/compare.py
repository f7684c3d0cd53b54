"""``probseg compare``: a leaderboard of tested runs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from probseg.errors import ProbsegError
from probseg.io.tables import write_csv
from probseg.report.contenders import Comparison, compare_all, comparison_table, contenders_of, seed_table
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
    parser.add_argument(
        "--baseline", type=Path, metavar="RUN", help="compare every other model with this run's (default: all pairs)"
    )
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
    contenders = contenders_of(ordered_by(runs, args.by))  # refuses an unknown figure before anything is written
    comparisons = compare_all(contenders, args.baseline)
    args.out.mkdir(parents=True, exist_ok=True)
    ordered = write_leaderboard(runs, args.out, args.by)
    print(to_markdown(ordered), end="")
    for sentence in _sentences(comparisons, args.by):
        print(sentence)
    names = ["results.csv", "leaderboard.md", "leaderboard.tex"]
    for name, table in (("differences.csv", comparison_table(comparisons)), ("seeds.csv", seed_table(contenders))):
        (args.out / name).unlink(missing_ok=True)
        if table.rows:
            write_csv(args.out / name, table.columns, table.rows)
            names.append(name)
    print(f"wrote {args.out}/{', '.join(names)}")
    print(f"next: probseg report {' '.join(str(r.folder) for r in ordered)} --out report.html")
    return 0


def _sentences(comparisons: Sequence[Comparison], metric: str) -> Iterator[str]:
    """What the comparisons by one figure say, the clearest first."""
    chosen = [c for c in comparisons if c.metric == metric]
    for c in sorted(chosen, key=lambda c: (math.isnan(c.corrected), c.corrected)):
        d = c.difference
        ends = "" if math.isnan(d.interval.low) else f", 95 % interval {d.interval.low:.3f} to {d.interval.high:.3f}"
        chance = "" if math.isnan(c.corrected) else f"; p = {c.corrected:.2g} after Holm's correction for {len(chosen)}"
        trained = "" if min(d.seeds) > 1 else "; of these trainings, not of training anew"
        yield f"{metric}: {c.first} less {c.second} is {d.interval.value:.3f}{ends}{chance}{trained}"
