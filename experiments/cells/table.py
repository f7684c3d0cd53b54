"""Write results.md and results.csv: ``python table.py [WORK] [TARGET]``, WORK being where README.md's commands ran.

WORK holds ``runs``, where study.py worked, and ``agreement``, which ``probseg agreement`` wrote. Without WORK the
tables come from ``records`` beside this file. No figure is typed by hand.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1]))
from readings import MODELS, Readings, read_folds, read_readers, rows_of
from timed import times_table

from probseg.analysis.bootstrap import Interval, bootstrap_mean
from probseg.analysis.paired import paired_difference
from probseg.io.atomic import write_text
from probseg.io.tables import write_csv
from probseg.report.markdown import figure_cell, markdown_table

HERE = Path(__file__).parent
Floats = NDArray[np.float64]
Row = tuple[str, str, str, Interval]  # table, what, of whom, figure
SAMPLES = 2000
CENTRE = {"rater_conditioned": "consensus", "rater_confusion": "truth"}
FIGURES = ("ged_v", "ged_u", "ged_floor", "diversity", "rater_diversity", "dice", "soft_dice", "nll")
CARD = {
    "dice": "Dice, others",
    "consensus_dice": "Dice, majority of others",
    "volume_log_ratio": "log area ratio",
    "sensitivity": "sensitivity, majority of others",
    "specificity": "specificity, majority of others",
    "staple_sensitivity": "sensitivity, STAPLE",
    "staple_specificity": "specificity, STAPLE",
}


def mean(values: Floats, cases: tuple[str, ...]) -> Interval:
    """Mean over images with its interval over images."""
    return bootstrap_mean(values, cases, SAMPLES, method="bca")


def difference(a: Floats, b: Floats, cases: tuple[str, ...]) -> Interval:
    """Mean of a less b over the same images."""
    return paired_difference(a, b, cases, SAMPLES).interval


def over_raters(each: Mapping[str, Floats]) -> Floats:
    """``(cases,)``: the mean over raters; a rater without the figure is left out."""
    return np.asarray(np.nanmean(np.stack(list(each.values())), axis=0))


def cards(agreement: Path) -> Iterator[Row]:
    """The rater cards that ``probseg agreement`` wrote."""
    for row in rows_of(agreement / "raters.csv"):
        for name in CARD:
            ends = [float(row[f"{name}{end}"] or math.nan) for end in ("", "_low", "_high")]
            yield "cards", name, row["rater"], Interval(*ends, int(row[f"{name}_n"]))


def persons(human: Readings) -> Iterator[Row]:
    """The same person's other tool beside other persons, and both fusions beside each other."""
    same = {r: human.others(r, same_person=True) for r in human.raters}
    other = {r: human.others(r) for r in human.raters}
    twice = [r for r in human.raters if np.isfinite(same[r]).all()]
    pair = [over_raters({r: table[r] for r in twice}) for table in (same, other)]
    yield "persons", "same person, other tool", "all", mean(pair[0], human.cases)
    yield "persons", "other persons", "all", mean(pair[1], human.cases)
    yield "persons", "same person less other persons", "all", difference(pair[0], pair[1], human.cases)
    fused = {name: human.dice[name].mean(axis=1) for name in ("STAPLE", "MAJORITY")}
    for name, values in fused.items():
        yield "persons", f"{name} against the raters", "all", mean(values, human.cases)
    gap = np.log(human.pixels["STAPLE"] / human.pixels["MAJORITY"])
    yield "persons", "STAPLE less MAJORITY, Dice", "all", difference(*fused.values(), human.cases)
    yield "persons", "log area of STAPLE over MAJORITY", "all", mean(gap, human.cases)


def against(name: str, model: Readings, human: Readings) -> Iterator[Row]:
    """A model's readers against every rater, beside the other persons."""
    people = {r: human.others(r) for r in human.raters}
    knows = name in CENTRE
    centre = {r: model.dice[CENTRE.get(name, name)][:, k] for k, r in enumerate(model.raters)}
    tables = {"centre": centre}
    if knows:
        tables = {
            "own": {r: model.own(r) for r in model.raters},
            **tables,
            "others": {r: model.others(r) for r in model.raters},
        }
    for what, table in tables.items():
        for rater, values in {**table, "all": over_raters(table)}.items():
            yield name, what, rater, mean(values, model.cases)
            rival = over_raters(people) if rater == "all" else people[rater]
            yield name, f"{what} less other persons", rater, difference(values, rival, model.cases)
            if what != "own" and knows:
                mine = over_raters(tables["own"]) if rater == "all" else tables["own"][rater]
                yield name, f"own less {what}", rater, difference(mine, values, model.cases)


def habits(name: str, model: Readings, human: Readings) -> Iterator[Row]:
    """Whether a model's readers are as generous as their raters: log area over that of the others, rater by rater."""
    for rater in model.raters:
        yield name, "log area ratio", rater, mean(model.bias(rater), model.cases)
    pair = np.array([[np.mean(x.bias(r)) for r in human.raters] for x in (human, model)])
    found = float(np.corrcoef(pair)[0, 1]) if pair.std(axis=1).min() > 0 else math.nan
    yield name, "correlation of log area ratios", "all", Interval(found, math.nan, math.nan, len(human.raters))


def distributions(name: str, folds: list[Path]) -> Iterator[Row]:
    """The figures of ``probseg test``, of all folds together; nothing where not every fold was tested."""
    if not all((fold / name / "test" / "cases.csv").is_file() for fold in folds):
        return
    rows = [row for fold in folds for row in rows_of(fold / name / "test" / "cases.csv")]
    for figure in FIGURES:
        values = np.array([float(row[figure] or math.nan) for row in rows])
        yield name, figure, "test", mean(values, tuple(row["patient_id"] for row in rows))


def grid(rows: list[Row], table: str, columns: Mapping[str, str], signed: tuple[str, ...] = ()) -> str:
    """Whom a line, what a column."""
    found = {(what, whom): figure for name, what, whom, figure in rows if name == table and what in columns}
    nothing = Interval(math.nan, math.nan, math.nan, 0)
    lines = [
        [whom, *(figure_cell(found.get((what, whom), nothing), signed=what in signed) for what in columns)]
        for whom in dict.fromkeys(whom for _, whom in found)
    ]
    return markdown_table(["", *columns.values()], lines)


def sections(rows: list[Row], tested: list[str]) -> Iterator[str]:
    """The page."""
    yield "## Rater cards\n"
    yield "Each against the eight other readings; the region of sensitivity and specificity is what any rater drew.\n"
    yield grid(rows, "cards", CARD)
    yield "## Persons, tools and fusions\n"
    yield "Dice, mean over the raters whose two tools both count, or over all nine for the fusions.\n"
    own = [(what, found) for table, what, _, found in rows if table == "persons"]
    lines = [(what, figure_cell(found, signed="less" in what or "log" in what)) for what, found in own]
    yield markdown_table(("", "Dice"), lines)
    yield "## Does a model of a rater read like that rater?\n"
    yield "Dice with the rater of the line, on images that the model was not trained on.\n"
    for name in tested:
        yield f"### {name}\n"
        columns = {"centre": CENTRE.get(name, "the model"), "centre less other persons": "less other persons"}
        if name in CENTRE:
            columns = {"own": "model of this rater", "others": "models of other persons", **columns}
            columns |= {"own less other persons": "model of this rater less other persons"}
            columns |= {"own less others": "less models of others", "own less centre": f"less {CENTRE[name]}"}
        yield grid(rows, name, columns, tuple(w for w in columns if "less" in w))
    knowing = [name for name in tested if name in CENTRE]
    if knowing:
        yield from generosity(rows, knowing)
    measured = [name for name in tested if any(t == name and whom == "test" for t, _, whom, _ in rows)]
    if measured:
        yield "## The distributions against all nine readings\n"
        lines = []
        for name in measured:
            found = {w: figure for t, w, whom, figure in rows if t == name and whom == "test"}
            lines.append([name, *(figure_cell(found[f]) for f in FIGURES)])
        yield markdown_table(["", *FIGURES], lines)


def generosity(rows: list[Row], knowing: list[str]) -> Iterator[str]:
    """How much each rater draws, beside the model of that rater."""
    yield "## Habits: how generous a rater is\n"
    yield "Log of the area over the geometric mean of the others', of the rater and of the model of the rater.\n"
    human = {whom: figure for t, w, whom, figure in rows if t == "cards" and w == "volume_log_ratio"}
    own = {(t, whom): figure for t, w, whom, figure in rows if w == "log area ratio"}
    lines = [
        [whom, figure_cell(figure), *(figure_cell(own[name, whom]) for name in knowing)]
        for whom, figure in human.items()
    ]
    both = {t: figure for t, w, _, figure in rows if w == "correlation of log area ratios"}
    lines.append(["correlation over raters", "", *(figure_cell(both[name], digits=2) for name in knowing)])
    yield markdown_table(["", "rater", *knowing], lines)


def provenance(work: Path) -> Iterator[str]:
    """Every command with its processor time; folders as README.md has them."""
    yield "## Processor time, s\n"
    yield times_table(work / "times.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, nargs="?", default=HERE / "records")
    parser.add_argument("target", type=Path, nargs="?", default=HERE)
    arguments = parser.parse_args()
    runs: Path = arguments.work / "runs"
    human = read_readers([runs / "raters.csv"])
    rows: list[Row] = [*cards(arguments.work / "agreement"), *persons(human)]
    folds, tested = sorted(runs.glob("fold-*")), []
    for name in MODELS:
        model = read_folds(folds, name)
        if model is not None and model.cases == human.cases:  # every image once, or the comparison is not paired
            tested.append(name)
            rows += [*against(name, model, human), *distributions(name, folds)]
            rows += [*habits(name, model, human)] if name in CENTRE else []
    head = [
        "# Models of raters on images of cells\n",
        f"Written by table.py; {len(human.cases)} images, {len(folds)} folds, mean [95 % BCa bootstrap interval over "
        "images]; differences are paired by image, bold where the interval excludes 0. See [README.md](README.md).\n",
    ]
    text = "\n".join([*head, *sections(rows, tested), *provenance(runs)])
    write_text(arguments.target / "results.md", text)
    columns = ("table", "figure", "rater", "value", "low", "high", "n")
    write_csv(
        arguments.target / "results.csv", columns, [(*r[:3], r[3].value, r[3].low, r[3].high, r[3].n) for r in rows]
    )


if __name__ == "__main__":
    main()
