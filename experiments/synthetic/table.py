"""Write results.md and results.csv: ``python table.py [WORK] [TARGET]``, WORK/run being what calibration.py measured.

Without WORK the page comes from ``records`` beside this file. No figure is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from processor_time import processor_seconds

from probseg.analysis.bootstrap import Interval
from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.report.csv_rows import read_count, read_number, read_rows
from probseg.report.markdown import figure_cell, markdown_table

HERE = Path(__file__).parent
COLUMNS = ("family", "metric", "region", "against", "class", "value", "low", "high", "n")
Row = dict[str, str | float | int]


def measured(path: Path) -> list[Row]:
    """The rows of calibration.csv with numbers as such."""
    found: list[Row] = []
    for row in read_rows(path, COLUMNS):
        numbers = {name: read_number(row[name], path) for name in ("value", "low", "high")}
        found.append({**row, **numbers, "n": read_count(row["n"], path)})
    return found


def means(rows: list[Row]) -> str:
    """The means over classes."""
    lines = []
    for row in rows:
        if row["class"] == "mean":
            ace = Interval(*(float(row[name]) for name in ("value", "low", "high")), int(row["n"]))
            lines.append((*(str(row[name]) for name in ("region", "family", "against")), figure_cell(ace, digits=4)))
    return markdown_table(("region", "probabilities of", "against", "classwise ACE"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, nargs="?", default=HERE / "records")
    parser.add_argument("target", type=Path, nargs="?", default=HERE)
    arguments = parser.parse_args()
    run: Path = arguments.work / "run"
    rows = measured(run / "calibration.csv")
    about, training = (
        json.loads((run / f"{name}.json").read_text(encoding="utf-8")) for name in ("calibration", "training")
    )
    minutes = (processor_seconds(run) or float("nan")) / 60
    write_csv(arguments.target / "results.csv", COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
    text = (
        "# Whether class probabilities match the raters' known distribution\n\n"
        f"Written by `table.py` from what `calibration.py` measured: {about['patients']} test patients, "
        f"{about['draws']} draws, {about['bins']} bins of equal mass; 95 % intervals over patients. "
        f"Trained for {minutes:.1f} processor minutes, {training['steps']} steps, seed {training['seed']}.\n\n"
        f"{means(rows)}\n{(HERE / 'notes.md').read_text(encoding='utf-8')}"
    )
    write_text(arguments.target / "results.md", text)
    print(means(rows), end="")


if __name__ == "__main__":
    main()
