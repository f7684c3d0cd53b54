"""Which raters, cases and single readings agree so much less than the rest that somebody should look at them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probseg.analysis.consensus import ConsensusCounts, dice_of_hits
from probseg.analysis.known import mean_known

__all__ = ["LEAST_DIFFERENCE", "MOST_SCORE", "Outlier", "consensus_dice", "find_outliers", "modified_scores"]

MOST_SCORE = 3.5
"""Modified z-scores beyond this are outliers, as Iglewicz and Hoaglin advise."""

LEAST_DIFFERENCE = 0.05
"""Dice: where all agree to the third decimal, a score alone would call the fourth an outlier."""


@dataclass(frozen=True)
class Outlier:
    """A rater, a case or one reading that agrees less than the rest.

    Attributes:
        kind: ``rater``, ``case`` or ``reading``.
        case_id, rater: which; empty where it does not apply.
        value: of a case its mean Dice with the majority of the others; of a rater how much their Dice lies above the
            median of the other raters of the same case, over all their cases; of a reading the same of one case, and
            above what is usual for the rater where names are persons.
        median: of the values of all cases, readings or raters.
        score: modified z-score of the value, below ``-MOST_SCORE``.
    """

    kind: Literal["rater", "case", "reading"]
    case_id: str
    rater: str
    value: float
    median: float
    score: float


def modified_scores(values: ArrayLike) -> NDArray[np.float64]:
    """How many robust standard deviations each value lies above the median: ``0.6745 (x - median) / MAD``.

    Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers, ASQC. MAD is the median distance from the median;
    where more than half of the values are the same it is 0, and their mean distance times 1.2533 takes its place.

    Args:
        values: ``(n,)``; NaN is left out and stays NaN.

    Returns:
        ``(n,)``; NaN throughout for fewer than three values, 0 where all are the same.

    Example:
        >>> modified_scores([0.80, 0.82, 0.78, 0.80, 0.20]).round(1).tolist()
        [0.0, 0.7, -0.7, 0.0, -20.2]
    """
    x = np.asarray(values, dtype=np.float64)
    known = x[~np.isnan(x)]
    if len(known) < 3:
        return np.full(x.shape, np.nan)
    median = float(np.median(known))
    distance = np.abs(known - median)
    spread = float(np.median(distance)) / 0.6745
    if spread <= 1e-12:
        spread = 1.253314 * float(distance.mean())
    return (x - median) / spread if spread > 1e-12 else x - x


def consensus_dice(cases: Sequence[ConsensusCounts], raters: Sequence[str]) -> NDArray[np.float64]:
    """``(cases, raters)``: Dice of each reading with the majority of the others, mean over classes and groups.

    A structure that neither drew is left out; NaN where the rater did not read the case or has no other beside them.
    """
    out = np.full((len(cases), len(raters)), np.nan)
    for i, case in enumerate(cases):
        dice = dice_of_hits(case.whole[:, 0])  # (raters of the case, structures)
        for name, row in zip(case.raters, dice, strict=True):
            known = row[~np.isnan(row)]
            if len(known):
                out[i, raters.index(name)] = known.mean()
    return out


def find_outliers(
    case_ids: Sequence[str], raters: Sequence[str], dice: NDArray[np.float64], stable: bool
) -> tuple[Outlier, ...]:
    """Outliers among cases, single readings and, where names are persons, raters; the worst of each kind first.

    The rule, for each kind: a modified z-score (`modified_scores`) below -3.5 and a value at least 0.05 below the
    median. Readings and raters are measured against the other raters of the same cases, so that whoever read the hard
    cases is no outlier for it, and a reading against its rater's other readings, so that an unusual rater is named once
    and not for every case. With two raters agreement is mutual and nobody is. It says where to look, not who errs.

    Args:
        case_ids: of the rows.
        raters: of the columns.
        dice: ``(cases, raters)`` of `consensus_dice`.
        stable: whether a rater's name is the same person in every case.
    """
    apart = _apart(dice)
    found: list[Outlier] = []
    if stable:
        found += [Outlier("rater", "", raters[k], *v) for (k,), v in _low(mean_known(apart, axis=0))]
        apart = apart - _median(apart)
    found += [Outlier("case", case_ids[i], "", *v) for (i,), v in _low(mean_known(dice, axis=1))]
    found += [Outlier("reading", case_ids[i], raters[k], *v) for (i, k), v in _low(apart)]
    return tuple(found)


def _apart(dice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each reading less the median of the other readings of its case; NaN where there are fewer than two others."""
    out = np.full(dice.shape, np.nan)
    for i, row in enumerate(dice):
        known = np.flatnonzero(~np.isnan(row))
        for k in known if len(known) > 2 else ():
            out[i, k] = row[k] - np.median(row[known[known != k]])
    return out


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(raters,)`` over cases; NaN where nothing is known."""
    known = [column[~np.isnan(column)] for column in values.T]
    return np.array([np.median(k) if len(k) else np.nan for k in known])


def _low(values: NDArray[np.float64]) -> list[tuple[tuple[int, ...], tuple[float, float, float]]]:
    """Places, values, median and scores of what lies too low, lowest first."""
    scores = modified_scores(values.ravel()).reshape(values.shape)
    median = float(np.median(values[~np.isnan(values)])) if (~np.isnan(values)).any() else math.nan
    low = np.argwhere((scores < -MOST_SCORE) & (values <= median - LEAST_DIFFERENCE))
    order = np.argsort([scores[tuple(place)] for place in low], kind="stable")
    places = [tuple(int(p) for p in low[k]) for k in order]
    return [(place, (float(values[place]), median, float(scores[place]))) for place in places]
