"""How well a score tells what is so from what is not: areas under ROC and precision-recall curves, from counts.

Counts are of bins of the score in ascending order, so that those of several cases or streams may be added; with a bin
for each distinct value they are exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Ranked", "auroc", "auroc_of_counts", "average_precision", "average_precision_of_counts", "ranked"]


class Ranked(NamedTuple):
    """What stands at each distinct value of a score, in ascending order; both ``(..., values)``."""

    total: NDArray[np.float64]
    positive: NDArray[np.float64]

    @property
    def negative(self) -> NDArray[np.float64]:
        """The rest."""
        return self.total - self.positive


def ranked(score: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> Ranked:
    """Group equal scores and add up.

    Args:
        score: ``(n,)``; entries that are NaN here or in ``positive`` are left out.
        positive: ``(n,)`` booleans, or a quantity to add up, such as a risk.
        weights: ``(..., n)`` how often each counts, several times over; None for once.
    """
    s, p = np.asarray(score, dtype=np.float64), np.asarray(positive, dtype=np.float64)
    w = np.ones(len(s)) if weights is None else np.asarray(weights, dtype=np.float64)
    known = np.flatnonzero(~(np.isnan(s) | np.isnan(p)))
    if not len(known):
        return Ranked(np.zeros((*w.shape[:-1], 0)), np.zeros((*w.shape[:-1], 0)))
    order = known[np.argsort(s[known], kind="stable")]
    starts = np.flatnonzero(np.append(True, s[order][1:] > s[order][:-1]))
    return Ranked(*(np.add.reduceat(w[..., order] * x, starts, axis=-1) for x in (1.0, p[order])))


def auroc_of_counts(positive: NDArray, negative: NDArray) -> NDArray[np.float64]:
    """Area under the ROC curve of counts ``(..., bins)`` in ascending order of the score: ``(...)``.

    The chance that a positive has a higher score than a negative, a tie counting half (Hanley and McNeil 1982,
    doi:10.1148/radiology.143.1.7063747). NaN where there is no positive or no negative.
    """
    below = np.cumsum(negative, axis=-1) - negative
    won = (positive * (below + 0.5 * negative)).sum(axis=-1)
    pairs = np.asarray(positive.sum(axis=-1) * negative.sum(axis=-1), dtype=np.float64)
    return np.divide(won, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def auroc(score: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve, 0.5 for a score that tells nothing; see `auroc_of_counts` and `ranked`.

    Example:
        >>> auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
        0.75
    """
    found = ranked(score, positive, weights)
    return float(auroc_of_counts(found.positive, found.negative))


def average_precision_of_counts(positive: NDArray, negative: NDArray) -> NDArray[np.float64]:
    """Area under the precision-recall curve of counts ``(..., bins)`` in ascending order of the score: ``(...)``.

    ``sum over thresholds of (recall_k - recall_{k-1}) precision_k``, which does not interpolate (Davis and Goadrich
    2006, doi:10.1145/1143844.1143874, on why). A score that tells nothing has the share of positives. NaN where there
    is no positive.
    """
    hits = np.flip(np.cumsum(np.flip(positive, -1), axis=-1), -1)
    chosen = hits + np.flip(np.cumsum(np.flip(negative, -1), axis=-1), -1)
    precision = np.divide(hits, chosen, out=np.zeros(np.shape(chosen)), where=chosen > 0)
    total = np.asarray(positive.sum(axis=-1), dtype=np.float64)
    area = (precision * positive).sum(axis=-1)
    return np.divide(area, total, out=np.full(total.shape, np.nan), where=total > 0)


def average_precision(score: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the precision-recall curve; see `average_precision_of_counts` and `ranked`."""
    found = ranked(score, positive, weights)
    return float(average_precision_of_counts(found.positive, found.negative))
