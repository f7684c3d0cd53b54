"""Write results.md and results.csv: ``python table.py [WORK] [TARGET]``, of runs that calibration.py measured.

A run that began from the weights of another (``warm_start``) counts the training of that one as well. Without WORK the
page comes from ``records`` beside this file. No figure is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from processor_time import processor_seconds

from probseg.analysis.bootstrap import Interval
from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.report.csv_rows import read_count, read_number, read_rows
from probseg.report.markdown import figure_cell, markdown_table

HERE = Path(__file__).parent
OF_A_ROW = ("family", "metric", "region", "against", "class", "value", "low", "high", "n")
COLUMNS = ("run", "steps", "processor_minutes", *OF_A_ROW)
Row = dict[str, str | float | int]


@dataclass(frozen=True)
class Measured:
    """A run: its rows of calibration.csv with numbers as such, what was measured, and its whole training."""

    name: str
    rows: list[Row]
    about: dict[str, int]
    steps: int
    minutes: float
    seed: int


def measured(run: Path) -> Measured:
    """Read one run and how long it and what it began from were trained."""
    path = run / "calibration.csv"
    rows: list[Row] = []
    for row in read_rows(path, OF_A_ROW):
        numbers = {name: read_number(row[name], path) for name in ("value", "low", "high")}
        rows.append({**row, **numbers, "n": read_count(row["n"], path)})
    about = json.loads((run / "calibration.json").read_text(encoding="utf-8"))
    steps, minutes, part = 0, 0.0, run
    while True:
        training = json.loads((part / "training.json").read_text(encoding="utf-8"))
        steps += training["steps"]
        minutes += (processor_seconds(part) or float("nan")) / 60
        if training["warm_start"] is None:
            return Measured(run.name, rows, about, steps, minutes, training["seed"])
        part = run.parent / Path(training["warm_start"]).name


def means(runs: list[Measured]) -> str:
    """The means over classes."""
    lines = []
    for run in runs:
        for row in run.rows:
            known = row["family"] == "known_distribution"
            if row["class"] == "mean" and not (known and run is not runs[0]):
                ace = Interval(*(float(row[name]) for name in ("value", "low", "high")), int(row["n"]))
                trained = "" if known else f"{run.minutes:.0f} min, {run.steps} steps"
                cells = (str(row[name]) for name in ("region", "family", "against"))
                lines.append((*cells, trained, figure_cell(ace, digits=4)))
    first = lines[0][0]
    lines.sort(key=lambda line: line[0] != first)  # region by region
    return markdown_table(("region", "probabilities of", "against", "trained for", "classwise ACE"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, nargs="?", default=HERE / "records")
    parser.add_argument("target", type=Path, nargs="?", default=HERE)
    arguments = parser.parse_args()
    runs = [measured(file.parent) for file in arguments.work.glob("*/calibration.csv")]
    runs.sort(key=lambda run: run.minutes)
    lines = [
        [run.name, run.steps, round(run.minutes, 1), *(row[name] for name in OF_A_ROW)]
        for run in runs
        for row in run.rows
    ]
    write_csv(arguments.target / "results.csv", COLUMNS, lines)
    about = runs[0].about
    text = (
        "# Whether class probabilities match the raters' known distribution\n\n"
        f"Written by `table.py` from what `calibration.py` measured: {about['patients']} test patients, "
        f"{about['draws']} draws, {about['bins']} bins of equal mass; 95 % intervals over patients. "
        f"Processor minutes of one core; seed {runs[0].seed}.\n\n"
        f"{means(runs)}\n{(HERE / 'notes.md').read_text(encoding='utf-8')}"
    )
    write_text(arguments.target / "results.md", text)
    print(means(runs), end="")


if __name__ == "__main__":
    main()
