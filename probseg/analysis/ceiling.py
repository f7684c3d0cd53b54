"""The human ceiling: how far a model differs from raters beside how far raters differ from one another.

With one rater held out, the model takes their place among the same others (`probseg.analysis.held_out`). The model's
figure less the rater's says how much is lost, or won, by reading with the model instead of with one more rater.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import Interval, bootstrap_columns
from probseg.analysis.case_agreement import TOLERANCES_MM
from probseg.analysis.held_out import Better, HeldOut, kinds_of_figure
from probseg.errors import ProbsegError

__all__ = [
    "ANYBODY",
    "DEFAULT_MARGINS",
    "Ceiling",
    "Verdict",
    "ceiling_sentence",
    "check_margins",
    "human_ceiling",
    "verdict",
]

ANYBODY = ""
"""In place of a held-out rater's name: each rater in turn, the mean over them."""

DEFAULT_MARGINS: Mapping[str, float] = {"dice": 0.05}
"""How much worse than a rater still passes for as good, stated beforehand; a figure without a margin has no verdict."""

Verdict = Literal["non-inferior", "inferior", "inconclusive"]


@dataclass(frozen=True)
class Ceiling:
    """One figure of one structure, with one rater held out or each in turn.

    Attributes:
        figure, structure: which; see `probseg.analysis.held_out.held_out`.
        held_out: the rater in whose place the model stands; `ANYBODY` for the mean over each in turn.
        better: which way is better.
        raters: the ceiling: mean over cases of the held-out rater against the others.
        model: mean over the same cases of the model in their place.
        difference: model less raters; BCa interval over patients.
        williams: Williams index of figures that compare pairs, else None: how the model agrees with raters beside how
            raters agree with one another, 1 the same, above 1 better; BCa interval.
        margin: how much worse still passes for as good; None where none was stated.
        verdict: at that margin; None without a margin or an interval.
    """

    figure: str
    structure: str
    held_out: str
    better: Better
    raters: Interval
    model: Interval
    difference: Interval
    williams: Interval | None
    margin: float | None
    verdict: Verdict | None


def human_ceiling(
    held: HeldOut,
    patients: Sequence[str] | NDArray,
    stable: bool,
    margins: Mapping[str, float] = DEFAULT_MARGINS,
    samples: int = 1000,
    seed: int = 0,
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
) -> tuple[Ceiling, ...]:
    """The model beside the raters in every figure, over cases, with intervals over patients.

    A case counts where both are defined: the difference is paired. Verdicts are at the two-sided 95 % level, which is
    2.5 % one-sided (Piaggio et al. 2012, doi:10.1001/jama.2012.87802).

    The Williams index (Williams 1976, doi:10.2307/2529750; for segmentations Chalana and Kim 1997,
    doi:10.1109/42.640755) is the mean agreement of the model with the raters over the mean agreement of the raters
    with one another, ``I = (1/M) sum_j a(0, j) / (2 / (M (M - 1))) sum_{j<k} a(j, k)``, here of means over cases. For
    distances, where less is better, it is the raters' mean over the model's.

    Args:
        held: figures with each rater held out.
        patients: ``(cases,)`` of the cases.
        stable: whether a rater's name is the same person in every case; without, no single rater is held out by name.
        margins: figure to margin, in the unit of the figure and positive.
        samples: bootstrap samples.
        seed: of the bootstrap.
        tolerances_mm: of surface Dice.

    Returns:
        For every figure and structure that is defined somewhere the mean over held-out raters, then each by name.

    Raises:
        ProbsegError: E_ARGUMENT for a margin that is not positive or of no figure.
    """
    check_margins(margins, tolerances_mm)
    kinds = kinds_of_figure(tolerances_mm)
    places = [(ANYBODY, _mean_of_places(held.values))]
    places += [(name, held.values[:, k]) for k, name in enumerate(held.places)] if stable else []
    out: dict[tuple[int, str], Ceiling] = {}
    for held_name, values in places:
        both = np.where(np.isnan(values).any(axis=2, keepdims=True), np.nan, values)  # (cases, columns, 2)
        columns: list[int] = np.flatnonzero(~np.isnan(both[:, :, 0]).all(axis=0)).tolist()
        intervals = _intervals(both[:, columns], patients, samples, seed)
        pairs = [c for c in columns if kinds[held.names[c][0]][1] and held_name == ANYBODY]
        indices = _williams(both, pairs, held, kinds, patients, samples, seed)
        for j, column in enumerate(columns):
            figure, structure = held.names[column]
            better, margin = kinds[figure][0], margins.get(figure)
            raters, model, difference = (part[j] for part in intervals)
            judged = None if margin is None else verdict(difference, better, margin)
            index = indices.get(column)
            out[column, held_name] = Ceiling(
                figure, structure, held_name, better, raters, model, difference, index, margin, judged
            )
    order = sorted(out, key=lambda key: key[0])  # stable: anybody first, then by name
    return tuple(out[key] for key in order)


def check_margins(margins: Mapping[str, float], tolerances_mm: Sequence[float] = TOLERANCES_MM) -> None:
    """Raise E_ARGUMENT for a margin that is not positive, or of a figure that has no better and worse."""
    known = [name for name, (better, _) in kinds_of_figure(tolerances_mm).items() if better != "nought"]
    for figure, margin in margins.items():
        if figure not in known:
            raise ProbsegError(
                "E_ARGUMENT", f"no margin can be stated for '{figure}'; the figures are {', '.join(known)}"
            )
        if not margin > 0 or math.isinf(margin):
            raise ProbsegError("E_ARGUMENT", f"the margin of {figure} must be positive, but is {margin}")


def _mean_of_places(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(cases, columns, 2)``: mean over the places in which both are defined."""
    known = ~np.isnan(values).any(axis=3, keepdims=True)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _intervals(
    both: NDArray[np.float64], patients: Sequence[str] | NDArray, samples: int, seed: int
) -> tuple[list[Interval], list[Interval], list[Interval]]:
    """Raters, model and their difference for each column of ``(cases, columns, 2)``."""

    def of(values: NDArray[np.float64], method: Literal["percentile", "bca"]) -> list[Interval]:
        sums = np.stack([values, np.where(np.isnan(values), np.nan, 1.0)], axis=-1)
        return bootstrap_columns(sums, patients, ratio, samples, seed, method)

    return of(both[..., 0], "percentile"), of(both[..., 1], "percentile"), of(both[..., 1] - both[..., 0], "bca")


def _williams(
    both: NDArray[np.float64],
    columns: Sequence[int],
    held: HeldOut,
    kinds: Mapping[str, tuple[Better, bool]],
    patients: Sequence[str] | NDArray,
    samples: int,
    seed: int,
) -> dict[int, Interval]:
    """Of each of these columns the ratio of the two sums, the better one's agreement on top."""
    if not columns:
        return {}
    turned = [both[:, c, ::-1] if kinds[held.names[c][0]][0] == "higher" else both[:, c] for c in columns]
    found = bootstrap_columns(np.stack(turned, axis=1), patients, ratio, samples, seed, "bca")
    return dict(zip(columns, found, strict=True))


def verdict(difference: Interval, better: Better, margin: float) -> Verdict | None:
    """Whether the model is no worse than a rater by more than the margin; None without an interval.

    ``non-inferior`` where the whole interval is better than that, ``inferior`` where all of it is worse,
    ``inconclusive`` where the data cannot tell.
    """
    if math.isnan(difference.low) or better == "nought":
        return None
    worst, best = difference.low, difference.high
    if better == "lower":
        worst, best = -difference.high, -difference.low
    if worst > -margin:
        return "non-inferior"
    return "inferior" if best < -margin else "inconclusive"


_UNITS = {"dice": (" Dice", 2), "surface_distance_mean_mm": (" mm", 2), "surface_distance_95_mm": (" mm", 2)}


def ceiling_sentence(ceiling: Ceiling) -> str:
    """One row in words for clinicians, who read; of Dice or a surface distance.

    "On opacity, the model differs from a reader by 0.02 Dice more than readers differ from each other, 95 % interval
    0.00 to 0.04; at a margin of 0.05 it is not inferior."
    """
    if ceiling.figure not in _UNITS:
        raise ProbsegError("E_ARGUMENT", f"'{ceiling.figure}' has no sentence; it has {', '.join(_UNITS)}")
    unit, digits = _UNITS[ceiling.figure]
    sign = -1.0 if ceiling.better == "higher" else 1.0
    apart, ends = (
        sign * ceiling.difference.value,
        sorted((sign * ceiling.difference.low, sign * ceiling.difference.high)),
    )
    if math.isnan(apart):
        return f"On {ceiling.structure}, no case has a model and two readers to compare."
    more = "more" if round(apart, digits) >= 0 else "less"
    text = (
        f"On {ceiling.structure}, the model differs from a reader by {abs(apart):.{digits}f}{unit} {more} than readers "
        "differ from each other"
    )
    if not math.isnan(ends[0]):
        text += f", 95 % interval {_span(ends[0], ends[1], more, digits)}"
    words = {
        "non-inferior": "it is not inferior",
        "inferior": "it is inferior",
        "inconclusive": "the data cannot tell whether it is inferior",
    }
    if ceiling.verdict is not None and ceiling.margin is not None:
        text += f"; at a margin of {ceiling.margin:g} {words[ceiling.verdict]}"
    return text + "."


def _span(low: float, high: float, more: str, digits: int) -> str:
    """Both ends as the sentence counts them; a side that lies on the other side of nought says so."""
    other = {"more": "less", "less": "more"}[more]
    ends = (low, high) if more == "more" else (-high, -low)
    first, second = (round(e, digits) + 0.0 for e in ends)
    if first >= 0:
        return f"{first:.{digits}f} to {second:.{digits}f}"
    return f"{-first:.{digits}f} {other} to {second:.{digits}f} {more}"
