"""The table of families against figures: its columns, what each means, and why a figure may be missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from probseg.report.results import Estimate, RunResult

__all__ = [
    "COLUMNS",
    "Cell",
    "Column",
    "Row",
    "cell_of",
    "figure_text",
    "interval_text",
    "number_cell",
    "table",
    "words_of",
]

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Column:
    """One column: the name in results.csv, the heading, which way is better, and a sentence on what it is."""

    metric: str
    heading: str
    better: str
    meaning: str


LOWER, HIGHER, NEITHER = "lower is better", "higher is better", "no direction of its own"

COLUMNS = (
    Column(
        "ged_v",
        "GED (V)",
        LOWER,
        "Distance between the model's readings and the raters' masks, taken as two collections (generalized energy "
        "distance on 1 \N{MINUS SIGN} IoU): twice the mean distance between a reading and a mask, less the mean "
        "distance within each collection, every mask also compared with itself. 0 for two identical collections.",
    ),
    Column(
        "ged_u",
        "GED (U)",
        LOWER,
        "The same without comparing a mask with itself, which removes the bias from having few readings: about 0 for "
        "a perfect model, sometimes below.",
    ),
    Column(
        "ged_floor",
        "Floor",
        NEITHER,
        "The GED (V) that a perfect model would score here, given so few masks and so many readings. Read GED (V) "
        "against it, not against 0. A network with one answer counts as that answer repeated, as often "
        "as readings were asked for.",
    ),
    Column(
        "hm_iou",
        "HM-IoU",
        HIGHER,
        "Each reading is paired with one mask so that the overlap is as large as possible (Hungarian matching of both "
        "sets at equal numbers); the mean overlap (IoU) of the pairs. 1 when every mask has its reading.",
    ),
    Column(
        "soft_dice",
        "Soft Dice",
        HIGHER,
        "Overlap (Dice) between the share of raters and the mean probability, both cut at .1, .2, to .9, averaged.",
    ),
    Column(
        "nll",
        "NLL",
        LOWER,
        "Surprise at what raters drew: minus the log of the mean probability given to each rater's label, in nats a "
        "pixel and rater, in the region where a rater or the model sees something. Confident mistakes cost most.",
    ),
    Column(
        "ece",
        "ECE",
        LOWER,
        "Gap between the probability stated and the share of raters who agree, averaged over 15 bins, in the region "
        "where a rater or the model sees something.",
    ),
    Column(
        "brier",
        "Brier",
        LOWER,
        "Squared gap between the probabilities and a rater's label, summed over classes, in the same region.",
    ),
    Column(
        "diversity",
        "Diversity",
        NEITHER,
        "How far two readings of the model lie apart (1 \N{MINUS SIGN} IoU); for the raters, how far two of their "
        "masks of one case do. Right when it equals the raters' own; neither more nor less is better.",
    ),
    Column(
        "rater_diversity",
        "Raters' own",
        NEITHER,
        "Diversity of the raters: how far two raters' masks of one case lie apart (1 \N{MINUS SIGN} IoU). It belongs "
        "to the cases, not to the family.",
    ),
    Column(
        "opacity_iou",
        "Mode IoU",
        HIGHER,
        "Overlap (IoU) of the most probable mask with each rater's, of opacity where the label set has such a class or "
        "group and of all foreground elsewhere; cases where both are empty are left out.",
    ),
    Column(
        "volume_error",
        "Volume error",
        NEITHER,
        "Predicted volume less the raters' mean, over the raters' mean, of the same structure; mean over scans. Right "
        "when 0.",
    ),
    Column(
        "coverage_95",
        "Held by 95 %",
        NEITHER,
        "Share of raters' volumes that lie within the predicted interval of 95 %. Right when 0.95; a network with one "
        "answer has no interval.",
    ),
)


@dataclass(frozen=True)
class Cell:
    """A figure as text; ``note`` is the number of the reason below the table when it is undefined.

    ``number`` is what a table sorts it by, empty where it is undefined.
    """

    value: str
    interval: str = ""
    note: int | None = None
    number: str = ""


@dataclass(frozen=True)
class Row:
    """One family's cells, in the order of the columns."""

    run: RunResult
    title: str
    cells: tuple[Cell, ...]


def cell_of(estimate: Estimate, digits: int = 3, scale: float = 1.0) -> Cell:
    """A figure times ``scale`` with its interval, or a dash."""
    if not estimate.defined:
        return Cell(DASH)
    own = Estimate(scale * estimate.value, scale * estimate.low, scale * estimate.high, estimate.n)
    return Cell(figure_text(own.value, digits), interval_text(own, digits), number=f"{own.value:.9g}")


def number_cell(value: float, digits: int = 3) -> Cell:
    """A number without an interval, or a dash where it is NaN."""
    return Cell(figure_text(value, digits), number=f"{value:.9g}") if math.isfinite(value) else Cell(DASH)


def words_of(estimate: Estimate, digits: int = 3, unit: str = "", scale: float = 1.0) -> str:
    """``0.123 (95 % interval 0.100 to 0.140)`` for a sentence."""
    cell = cell_of(estimate, digits, scale)
    return (
        f"{cell.value}{unit} (95\N{NO-BREAK SPACE}% interval {cell.interval})" if cell.interval else cell.value + unit
    )


def figure_text(value: float, digits: int = 3) -> str:
    """A number with a true minus sign, never minus zero."""
    text = f"{abs(value):.{digits}f}"
    return (MINUS if value < 0 and float(text) else "") + text


def interval_text(estimate: Estimate, digits: int = 3) -> str:
    """``low to high``, or nothing where there is no interval."""
    if not estimate.has_interval:
        return ""
    return f"{figure_text(estimate.low, digits)} to {figure_text(estimate.high, digits)}"


def table(runs: Sequence[RunResult], titles: Sequence[str]) -> tuple[tuple[Column, ...], tuple[Row, ...], list[str]]:
    """Columns that some run has, the rows, and the numbered reasons for what is undefined."""
    with_raters = any(run.is_raters for run in runs)
    columns = tuple(
        c
        for c in COLUMNS
        if any(c.metric in run.figures for run in runs) and not (with_raters and c.metric == "rater_diversity")
    )
    reasons: list[str] = []
    rows = []
    for run, title in zip(runs, titles, strict=True):
        cells = []
        for column in columns:
            own = run.is_raters and column.metric == "diversity"  # raters spread among themselves, not within one
            estimate = run.figure("rater_diversity" if own else column.metric)
            if estimate.defined:
                cells.append(cell_of(estimate))
                continue
            reason = _reason(run, column)
            if reason not in reasons:
                reasons.append(reason)
            cells.append(Cell(DASH, note=reasons.index(reason) + 1))
        rows.append(Row(run, title, tuple(cells)))
    return columns, tuple(rows), reasons


def _reason(run: RunResult, column: Column) -> str:
    if column.metric not in run.figures:
        return f"{column.heading} is not among the results of this run."
    if run.is_raters and column.metric in ("nll", "brier"):
        return "A mask states no probabilities: it gives probability 0 to all that it did not draw."
    if column.metric in ("ged_u", "diversity") and (run.draws == 1 or run.is_raters or run.is_deterministic):
        return "One reading a case has nothing to be compared with among the readings."
    return f"{column.heading} is undefined for every test case of this run."
