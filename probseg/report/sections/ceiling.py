"""The model beside the human ceiling: what is lost, or won, by reading with the model instead of one more rater."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from probseg.analysis.bootstrap import Interval
from probseg.analysis.ceiling import Ceiling
from probseg.report import plots
from probseg.report.figures import chart
from probseg.report.results import Estimate
from probseg.report.sections.agreement import Chart
from probseg.report.stored_agreement import StoredAgreement
from probseg.report.stored_evaluation import StoredEvaluation
from probseg.report.table import COLUMNS, Cell, cell_of, words_of

__all__ = ["CeilingRow", "CeilingView", "PlaceRow", "ceiling_sentences", "ceiling_views", "place_rows"]

_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "surface_distance_mean_mm": "surface distance, mean, mm",
    "surface_distance_95_mm": "surface distance, 95 %, mm",
    "volume_error_ml": "volume error, mL",
}


@dataclass(frozen=True)
class CeilingRow:
    """One figure of one structure."""

    figure: str
    structure: str
    better: str
    raters: Cell
    model: Cell
    difference: Cell
    williams: Cell
    verdict: str


@dataclass(frozen=True)
class CeilingView:
    """One study: the picture and every row."""

    dataset: str
    picture: Chart | None
    rows: tuple[CeilingRow, ...]


@dataclass(frozen=True)
class PlaceRow:
    """One figure of an evaluation: the model's and the raters' in its place, and whether the intervals are apart."""

    heading: str
    better: str
    model: Cell
    raters: Cell
    apart: str


def ceiling_views(agreements: tuple[StoredAgreement, ...]) -> list[CeilingView]:
    """Of the studies that had predictions."""
    return [_view(a, k) for k, a in enumerate(agreements) if a.figures.ceiling]


def ceiling_sentences(stored: StoredAgreement) -> Iterator[str]:
    """The model's Dice less a rater's on the structure of interest, with the verdict."""
    row = next((c for c in stored.figures.ceiling if (c.figure, c.structure) == ("dice", stored.headline)), None)
    if row is None or row.difference.n == 0:
        return
    model, rater, gap = (_estimate(x) for x in (row.model, row.raters, row.difference))
    said = (
        f"With the other raters of {stored.dataset}, the model agrees on {stored.headline} with a mean Dice of "
        f"{words_of(model)}, and a rater in its place with {words_of(rater)}: a difference of {words_of(gap)}"
    )
    meaning = {
        "non-inferior": f"not worse than a rater by more than {row.margin}, as was asked beforehand",
        "inferior": f"worse than a rater by more than {row.margin}, the margin stated beforehand",
        "inconclusive": f"at the margin of {row.margin} this decides nothing",
    }
    yield f"{said}; {meaning[row.verdict]}." if row.verdict else f"{said}."


def place_rows(evaluation: StoredEvaluation) -> list[PlaceRow]:
    """Every figure of the table that both have."""
    rows = []
    for column in COLUMNS:
        model, raters = evaluation.of_model(column.metric), evaluation.of_raters(column.metric)
        if not (model.defined and raters.defined):
            continue
        both = model.has_interval and raters.has_interval
        apart = "apart" if model.high < raters.low or raters.high < model.low else "overlap"
        apart = apart if both else "no interval"
        rows.append(PlaceRow(column.heading, column.better, cell_of(model), cell_of(raters), apart))
    return rows


def _estimate(interval: Interval) -> Estimate:
    return Estimate(interval.value, interval.low, interval.high, interval.n)


def _view(stored: StoredAgreement, place: int) -> CeilingView:
    rows = [c for c in stored.figures.ceiling if c.difference.n]
    dice = [c for c in rows if c.figure == "dice"]
    picture = None
    if dice:
        text = "; ".join(f"{c.structure}: a rater {c.raters.value:.3f}, the model {c.model.value:.3f}" for c in dice)
        picture = Chart(
            chart(
                lambda axes: plots.ceiling(stored.figures, axes),
                f"ceiling-{place}",
                f"Mean Dice with the other raters. {text}.",
                (8.0, 1.6 + 0.34 * len(dice)),
            ),
            "Dice with the other raters, 95 % intervals over patients; at the right, the model less a rater.",
        )
    return CeilingView(stored.dataset, picture, tuple(_row(c) for c in rows))


def _row(c: Ceiling) -> CeilingRow:
    digits = 2 if c.figure.endswith(("_mm", "_ml")) else 3
    raters, model, difference = (cell_of(_estimate(x), digits) for x in (c.raters, c.model, c.difference))
    williams = Cell("") if c.williams is None else cell_of(_estimate(c.williams))
    name = _NAMES.get(c.figure, c.figure.replace("_", " "))
    return CeilingRow(name, c.structure, c.better, raters, model, difference, williams, c.verdict or "")
