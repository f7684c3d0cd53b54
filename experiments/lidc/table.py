"""Write results.md and results.csv: ``python table.py [WORK] [TARGET]``, WORK being where README.md's commands ran.

WORK holds ``runs`` (a folder a family, tested with 100 readings), ``runs-16`` (the same tested with 16, from which
HM-IoU comes) and any ``runs-N-minutes`` of other training times. Without WORK the tables come from ``records`` beside
this file. No figure is typed by hand.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from processor_time import processor_seconds

from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.report import load_run
from probseg.report.leaderboard import figures_table, ordered_by, to_markdown
from probseg.report.markdown import figure_cell, markdown_table
from probseg.report.results import RunResult, titles_of

HERE = Path(__file__).parent
NOTHING = "\N{EN DASH}"


def tested_runs(folder: Path) -> list[RunResult]:
    """Every tested run of a folder."""
    return [load_run(path.parent) for path in sorted(folder.glob("*/results.csv"))]


def with_matching(run: RunResult, sixteen: Path) -> RunResult:
    """The run with its HM-IoU at 16 readings; undefined where it was not tested with 16."""
    folder = sixteen / run.folder.name
    others = load_run(folder).figures if (folder / "results.csv").is_file() else {}
    figures = {name: figure for name, figure in run.figures.items() if name != "hm_iou"}
    return dataclasses.replace(run, figures=figures | ({"hm_iou": others["hm_iou"]} if others else {}))


def training_of(run: RunResult) -> dict[str, Any]:
    """How a run was trained."""
    return dict(json.loads((run.folder / "training.json").read_text(encoding="utf-8")))


def minutes_of(run: RunResult, digits: int) -> str:
    """Processor minutes of a training; a dash where it had no budget, as where nothing was trained."""
    seconds = processor_seconds(run.folder)
    return NOTHING if seconds is None else f"{seconds / 60:.{digits}f}"


def warm_start_of(run: RunResult) -> str:
    """The name of the run that the weights came from, which is given as its folder or as its checkpoint."""
    given = training_of(run).get("warm_start")
    path = Path(str(given))
    return "none" if not given else path.parent.parent.name if path.suffix == ".ckpt" else path.name


def provenance(runs: Sequence[RunResult]) -> str:
    """A table of how each family was trained, from its own run folder."""
    rows = []
    for run in runs:
        title, training = titles_of(runs)[str(run.folder)], training_of(run)
        rows.append((title, minutes_of(run, 1), str(training["steps"]), str(training["seed"]), warm_start_of(run)))
    return markdown_table(("family", "processor minutes", "steps", "seed", "warm start"), rows)


def whole_seconds(run: RunResult, finished: Sequence[RunResult]) -> float:
    """Processor time of a training and of the finished one of the same family that it went on from, if it did."""
    before = [one for one in finished if one.folder.name == warm_start_of(run) and one.family == run.family]
    return sum(processor_seconds(one.folder) or 0.0 for one in (run, *before))


def curve(runs: Sequence[RunResult], finished: Sequence[RunResult]) -> str:
    """GED against training time: each row is a training whose schedule ended there, of its own or going on."""
    rows = []
    for run in sorted(runs, key=lambda run: (run.title, whole_seconds(run, finished))):
        u, floor = (figure_cell(dataclasses.replace(run.figure(m), low=float("nan"))) for m in ("ged_u", "ged_floor"))
        minutes, steps = f"{whole_seconds(run, finished) / 60:.0f}", str(training_of(run)["steps"])
        start = "nothing" if warm_start_of(run) == "none" else "its end in the first table"
        rows.append((run.title, minutes, start, steps, figure_cell(run.figure("ged_v")), u, floor))
    header = ("family", "processor minutes", "began from", "own steps", "GED (V)", "GED (U)", "Floor")
    return markdown_table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, nargs="?", default=HERE / "records")
    parser.add_argument("target", type=Path, nargs="?", default=HERE)
    arguments = parser.parse_args()
    work, target = arguments.work, arguments.target
    runs = ordered_by([with_matching(run, work / "runs-16") for run in tested_runs(work / "runs")], "ged_v")
    figures = figures_table(runs)
    write_csv(target / "results.csv", figures.columns, figures.rows)
    summary = runs[0].summary
    text = (
        "# Results\n\nWritten by `table.py`; how it was run stands in [README.md](README.md). "
        f"{summary['cases']} test slices of {summary['patients']} patients, N readings each, HM-IoU at 16; "
        f"95 % intervals over patients from {summary['bootstrap']} bootstraps.\n\n"
        f"{to_markdown(runs)}\n{provenance(runs)}"
    )
    others = [run for folder in sorted(work.glob("runs-*-minutes")) for run in tested_runs(folder)]
    families = {run.family for run in others}
    if others:
        curves = [run for run in runs if run.family in families] + others
        text += f"\n## GED against training time\n\n{curve(curves, runs)}"
    notes = HERE / "notes.md"
    if notes.is_file():
        text += "\n" + notes.read_text(encoding="utf-8")
    write_text(target / "results.md", text)
    print(to_markdown(runs), end="")


if __name__ == "__main__":
    main()
