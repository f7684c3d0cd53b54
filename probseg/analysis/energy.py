"""Energy distances between a model's readings and the raters' masks, and the best one-to-one matching of the two.

The first functions take label maps. The ones below them take matrices of distances, which is where the formulas are.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from probseg.analysis.overlap import iou_matrix

__all__ = [
    "energy_distance_floor",
    "generalized_energy_distance",
    "hungarian_matched_iou",
    "matched_similarity",
    "mean_distinct",
    "perfect_model_floor",
    "squared_energy_distance",
]


def squared_energy_distance(
    d_sy: NDArray[np.float64], d_ss: NDArray[np.float64], d_yy: NDArray[np.float64], unbiased: bool = False
) -> float:
    """``2 E d(S,Y) - E d(S,S') - E d(Y,Y')`` from matrices of distances.

    Székely and Rizzo (2013), doi:10.1016/j.jspi.2013.03.018; what the literature reports as GED.

    Args:
        d_sy: ``(N, M)`` distances of readings to raters.
        d_ss: ``(N, N)`` among readings, zero on the diagonal.
        d_yy: ``(M, M)`` among raters, zero on the diagonal.
        unbiased: leave out self-pairs in the last two terms (U); about 0 for a perfect model, may be negative.
            With them (V) it is 0 for identical sets.

    Returns:
        A float; NaN where a term is undefined: no reading or no rater, and for U fewer than two of either. A model
        whose one reading is its whole distribution is given to U as that reading twice.
    """
    if 0 in d_sy.shape:
        return math.nan
    if unbiased:
        return float(2.0 * d_sy.mean() - mean_distinct(d_ss) - mean_distinct(d_yy))
    return float(2.0 * d_sy.mean() - d_ss.mean() - d_yy.mean())


def mean_distinct(distances: NDArray[np.float64]) -> float:
    """Mean over pairs of two different members of a square matrix; NaN for fewer than two members."""
    n = len(distances)
    return math.nan if n < 2 else float((distances.sum() - np.trace(distances)) / (n * (n - 1)))


def perfect_model_floor(d_yy: NDArray[np.float64], num_readings: int) -> float:
    """What GED (V) a perfect model would score: ``D (1/M + 1/N)``, D the mean distance of distinct rater pairs.

    NaN for fewer than two raters or no reading.
    """
    if num_readings < 1:
        return math.nan
    return mean_distinct(d_yy) * (1.0 / max(len(d_yy), 1) + 1.0 / num_readings)


def matched_similarity(similarity: NDArray[np.float64]) -> float:
    """Mean similarity of the best one-to-one matching after both sets are replicated to lcm(N, M) members.

    Only the matrix is replicated, never the maps. Kuhn (1955) by `scipy.optimize.linear_sum_assignment`.

    Args:
        similarity: ``(N, M)``; NaN is returned when either is 0.
    """
    n, m = similarity.shape
    if n == 0 or m == 0:
        return math.nan
    size = math.lcm(n, m)
    square = np.repeat(np.repeat(similarity, size // n, axis=0), size // m, axis=1)
    rows, columns = linear_sum_assignment(square, maximize=True)
    return float(square[rows, columns].mean())


def _present(masks: NDArray, num_classes: int, rated: NDArray | None) -> tuple[NDArray, NDArray | None]:
    """Without the raters who rated nothing at all: absent is not empty, and absent is not counted."""
    known = (masks >= 0) & (masks < num_classes)
    known = known if rated is None else known & rated
    kept = known.any(axis=tuple(range(1, masks.ndim)))
    return masks[kept], None if rated is None else rated[kept]


def generalized_energy_distance(
    readings: NDArray, masks: NDArray, num_classes: int, unbiased: bool = False, rated: NDArray | None = None
) -> float:
    """How far a model's distribution of segmentations lies from the raters'; 0 is best.

    ``2 E d(S,Y) - E d(S,S') - E d(Y,Y')`` with ``d = 1 - IoU``, IoU averaged over foreground classes, a class absent
    from both counting 1 (Kohl et al. 2018, arXiv:1806.05034).

    Args:
        readings: S, ``(N, *space)`` integer label maps.
        masks: Y, ``(M, *space)`` integer label maps; labels outside ``0..num_classes-1`` count as not rated.
        num_classes: C, background included.
        unbiased: without self-pairs, see `squared_energy_distance`.
        rated: ``(M, *space)`` booleans; a rater who rated nothing is left out.

    Example:
        >>> readings, masks = np.array([[1, 1, 0, 0], [0, 0, 0, 0]]), np.array([[1, 1, 0, 0], [1, 1, 1, 0]])
        >>> round(generalized_energy_distance(readings, masks, 2), 6)
        0.5
    """
    masks, rated = _present(masks, num_classes, rated)
    if 0 in (len(readings), len(masks)):
        return math.nan
    d_sy = 1.0 - iou_matrix(readings, masks, num_classes, None, rated)
    d_ss = 1.0 - iou_matrix(readings, readings, num_classes)
    d_yy = 1.0 - iou_matrix(masks, masks, num_classes, rated, rated)
    return squared_energy_distance(d_sy, d_ss, d_yy, unbiased)


def energy_distance_floor(masks: NDArray, num_readings: int, num_classes: int, rated: NDArray | None = None) -> float:
    """What GED (V) a perfect model would score with ``num_readings`` readings against these raters.

    Sets of few members never match exactly; see `perfect_model_floor`. Arguments as for `generalized_energy_distance`.
    """
    masks, rated = _present(masks, num_classes, rated)
    if len(masks) < 2:
        return math.nan
    return perfect_model_floor(1.0 - iou_matrix(masks, masks, num_classes, rated, rated), num_readings)


def hungarian_matched_iou(readings: NDArray, masks: NDArray, num_classes: int, rated: NDArray | None = None) -> float:
    """Mean IoU when readings and raters are matched one to one as well as they can; 1 is best.

    Both sets are replicated to lcm(N, M) first (Kohl et al. 2019, arXiv:1905.13077), so that every reading counts: a
    best-of-N matching would reward wild guessing. Arguments as for `generalized_energy_distance`.
    """
    masks, rated = _present(masks, num_classes, rated)
    if 0 in (len(readings), len(masks)):
        return math.nan
    return matched_similarity(iou_matrix(readings, masks, num_classes, None, rated))
