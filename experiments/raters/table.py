"""Write results.md and results.csv: ``python table.py [WORK] [TARGET]``, WORK being where study.py worked.

Without WORK the tables come from ``records`` beside this file. No figure is typed by hand.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1]))
from design import DESIGNS, TARGETS, study_name
from timed import times_table

from probseg.analysis.bootstrap import Interval, bootstrap_mean
from probseg.analysis.paired import paired_difference
from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.report.markdown import figure_cell, markdown_table

HERE = Path(__file__).parent
SAMPLES = 2000
FIGURES = {
    "ged_v": "GED (V)",
    "ged_u": "GED (U)",
    "diversity": "diversity",
    "soft_dice": "soft Dice",
    "nll": "NLL",
    "brier": "Brier",
    "volume_crps": "volume CRPS, mL",
    "coverage_80": "coverage of 80 %",
    "coverage_95": "coverage of 95 %",
}
COMPARED = ("ged_v", "nll", "brier", "soft_dice", "volume_crps", "coverage_95")
# What is taken from what, and what the difference is of.
PAIRS = (
    ((120, 2), (60, 4), "the same 240 readings"),
    ((240, 1), (60, 4), "the same 240 readings"),
    ((240, 1), (120, 2), "the same 240 readings"),
    ((240, 4), (240, 1), "four raters for one"),
    ((240, 4), (60, 4), "four times the cases"),
)
RIVALS = (
    ("random_rater", "soft_labels"),
    ("stochastic_segmentation", "soft_labels"),
    ("probabilistic_unet", "soft_labels"),
    ("probabilistic_unet", "stochastic_segmentation"),
)


@dataclass(frozen=True, eq=False)
class Tested:
    """One target on one design, over its seeds.

    Attributes:
        seeds: those that were trained.
        patients: ``(cases,)`` names.
        figures: name to ``(seeds, cases)``; NaN where undefined.
        ece: of all cases together, mean over seeds, with the widest ends.
        steps: of each training.
    """

    seeds: tuple[int, ...]
    patients: tuple[str, ...]
    figures: Mapping[str, NDArray[np.float64]]
    ece: Interval
    steps: tuple[int, ...]


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tested(work: Path, cases: int, raters: int, target: str) -> Tested | None:
    """What was tested; None where nothing was."""
    found = {}
    for path in (work / "runs").glob(f"{study_name(cases, raters, 0)[:-1]}*-{target}/results.csv"):
        seed = re.fullmatch(r".*-seed(\d+)-\w+", path.parent.name)
        assert seed is not None
        found[int(seed[1])] = path.parent
    if not found:
        return None
    runs = [found[seed] for seed in sorted(found)]
    tables = [sorted(rows_of(run / "test" / "cases.csv"), key=lambda row: row["case_id"]) for run in runs]
    figures = {name: np.array([[float(row[name] or math.nan) for row in t] for t in tables]) for name in FIGURES}
    ece = [next(row for row in rows_of(run / "results.csv") if row["metric"] == "ece") for run in runs]
    ends = [[float(row[name]) for row in ece] for name in ("value", "low", "high")]
    pooled = Interval(sum(ends[0]) / len(ends[0]), min(ends[1]), max(ends[2]), int(ece[0]["n"]))
    steps = [json.loads((run / "training.json").read_text(encoding="utf-8"))["steps"] for run in runs]
    patients = tuple(row["patient_id"] for row in tables[0])
    return Tested(tuple(sorted(found)), patients, figures, pooled, tuple(steps))


def name_of(design: tuple[int, int]) -> str:
    """``(120, 2)`` is ``120 x 2``."""
    return f"{design[0]} x {design[1]}"


Everything = dict[tuple[tuple[int, int], str], Tested]
Row = tuple[str, str, str, Interval, int]  # design, target, figure, value, seeds


def values(everything: Everything) -> Iterator[Row]:
    """Every figure of every design and target, mean over seeds and cases."""
    for (design, target), own in everything.items():
        for name in FIGURES:
            found = bootstrap_mean(own.figures[name].mean(axis=0), own.patients, SAMPLES, method="bca")
            yield name_of(design), target, name, found, len(own.seeds)
        yield name_of(design), target, "ece", own.ece, len(own.seeds)


def differences(everything: Everything) -> Iterator[tuple[Row, str]]:
    """Between designs of one target and between targets on one design, on the same cases; with what they are of.

    Two seeds of the same design come last: how far apart chance alone, that of the cases included, puts them.
    """
    pairs = [((a, target), (b, target), what) for target in TARGETS for a, b, what in PAIRS]
    pairs += [((design, a), (design, b), "the same readings") for design in DESIGNS for a, b in RIVALS]
    for first, second, what in pairs:
        if first in everything and second in everything:
            a, b = everything[first], everything[second]
            shared = [seed for seed in a.seeds if seed in b.seeds]  # a seed is a choice of cases, too
            if not shared:
                continue
            rows = [[x.seeds.index(seed) for seed in shared] for x in (a, b)]
            design = name_of(first[0]) + ("" if first[0] == second[0] else f" less {name_of(second[0])}")
            target = first[1] + ("" if first[1] == second[1] else f" less {second[1]}")
            for name in COMPARED:
                pair = (a.figures[name][rows[0]], b.figures[name][rows[1]])
                found = paired_difference(*pair, a.patients, SAMPLES)
                yield (design, target, name, found.interval, len(shared)), what
    for (chosen, target), own in everything.items():
        for k in range(1, len(own.seeds)):
            design = f"{name_of(chosen)}, seed {own.seeds[k]} less {own.seeds[0]}"
            for name in COMPARED:
                found = paired_difference(own.figures[name][k], own.figures[name][0], own.patients, SAMPLES)
                yield (design, target, name, found.interval, 1), "the same design, another seed"


def table(rows: Sequence[Row], columns: Mapping[str, str], signed: bool) -> str:
    """A design and target a line, a figure a column."""
    found = {(row[0], row[1], row[2]): row for row in rows}
    lines = []
    for design, target in dict.fromkeys((row[0], row[1]) for row in rows):
        own = [found[design, target, name] for name in columns]
        lines.append([target, design, str(own[0][4]), *(figure_cell(row[3], signed=signed) for row in own)])
    return markdown_table(["target", "cases x raters", "seeds", *columns.values()], lines)


def page(
    everything: Everything, work: Path, measured: Sequence[Row], compared: Sequence[tuple[Row, str]]
) -> Iterator[str]:
    """The whole of results.md."""
    first = next(iter(everything.values()))
    yield "# How many raters are enough\n"
    yield (
        f"Written by table.py; {len(first.patients)} test cases of {len(set(first.patients))} patients, all four "
        "raters, mean over cases and seeds [95 % BCa bootstrap interval over patients; differences of several seeds "
        "are widened by their variance]. See [README.md](README.md).\n"
    )
    shown = sorted(measured, key=lambda row: TARGETS.index(row[1]))
    yield table(shown, {**FIGURES, "ece": "ECE"}, False)
    for what in dict.fromkeys(what for _, what in compared):
        yield f"## Differences: {what}\n"
        yield "Paired by case; bold where the interval excludes 0.\n"
        yield table([row for row, of in compared if of == what], {name: FIGURES[name] for name in COMPARED}, True)
    yield "## Trainings\n"
    lines = []
    for (design, target), own in everything.items():
        steps = ", ".join(map(str, sorted(set(own.steps))))
        lines.append((target, name_of(design), ", ".join(map(str, own.seeds)), steps))
    yield markdown_table(("target", "cases x raters", "seeds", "steps"), lines)
    yield "## Processor time, s\n"
    yield times_table(work / "times.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, nargs="?", default=HERE / "records")
    parser.add_argument("target", type=Path, nargs="?", default=HERE)
    arguments = parser.parse_args()
    found = {(d, t): tested(arguments.work, *d, t) for d in DESIGNS for t in TARGETS}
    everything = {key: value for key, value in found.items() if value is not None}
    measured, compared = list(values(everything)), list(differences(everything))
    text = "\n".join(page(everything, arguments.work, measured, compared))
    write_text(arguments.target / "results.md", text)
    rows = [*measured, *(row for row, _ in compared)]
    columns = ("cases_x_raters", "target", "metric", "value", "low", "high", "n", "seeds")
    write_csv(
        arguments.target / "results.csv",
        columns,
        [(*r[:3], r[3].value, r[3].low, r[3].high, r[3].n, r[4]) for r in rows],
    )


if __name__ == "__main__":
    main()
