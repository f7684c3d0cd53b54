"""Energy distances between a model's readings and the raters' masks, and the best one-to-one matching of the two.

The first functions take label maps. The ones below them take matrices of distances, which is where the formulas are.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from probseg.analysis.overlap import dice_matrix, iou_matrix
from probseg.analysis.pair_counts import pair_counts, present_raters

__all__ = [
    "best_similarity",
    "d_match",
    "d_max",
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


def best_similarity(similarity: NDArray[np.float64]) -> float:
    """How alike the best reading for each rater is, averaged over raters.

    Args:
        similarity: ``(N, M)``; NaN is returned when either is 0.
    """
    return math.nan if 0 in similarity.shape else float(similarity.max(axis=0).mean())


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
    similar = pair_counts(readings, masks, num_classes, rated).similarities()
    return squared_energy_distance(1.0 - similar.sy, 1.0 - similar.ss, 1.0 - similar.yy, unbiased)


def energy_distance_floor(masks: NDArray, num_readings: int, num_classes: int, rated: NDArray | None = None) -> float:
    """What GED (V) a perfect model would score with ``num_readings`` readings against these raters.

    Sets of few members never match exactly; see `perfect_model_floor`. Arguments as for `generalized_energy_distance`.
    """
    masks, rated = present_raters(masks, num_classes, rated)
    if len(masks) < 2:
        return math.nan
    return perfect_model_floor(1.0 - iou_matrix(masks, masks, num_classes, rated, rated), num_readings)


def hungarian_matched_iou(readings: NDArray, masks: NDArray, num_classes: int, rated: NDArray | None = None) -> float:
    """Mean IoU when readings and raters are matched one to one as well as they can; 1 is best.

    Both sets are replicated to lcm(N, M) first (Kohl et al. 2019, arXiv:1905.13077), so that every reading counts: a
    best-of-N matching would reward wild guessing. Arguments as for `generalized_energy_distance`.
    """
    masks, rated = present_raters(masks, num_classes, rated)
    return matched_similarity(iou_matrix(readings, masks, num_classes, None, rated))


def d_max(readings: NDArray, masks: NDArray, num_classes: int, rated: NDArray | None = None) -> float:
    """Dice of the best reading for each rater, averaged over raters; 1 is best.

    D-max of Rahman et al. (2023, arXiv:2304.04745). It grows with the number of readings and asks nothing of the
    others, so it is to be read beside GED. Dice is averaged over foreground classes, and a class absent from both
    counts 1, as in `hungarian_matched_iou`. Arguments as for `generalized_energy_distance`; NaN without a reading or a
    rater.

    Example:
        >>> readings, masks = np.array([[1, 1, 0, 0], [0, 0, 0, 0]]), np.array([[1, 1, 0, 0], [1, 1, 1, 0]])
        >>> round(d_max(readings, masks, 2), 6)
        0.9
    """
    return best_similarity(_dice(readings, masks, num_classes, rated))


def d_match(readings: NDArray, masks: NDArray, num_classes: int, rated: NDArray | None = None) -> float:
    """Mean Dice when readings and raters are matched one to one so that it is greatest; 1 is best.

    `hungarian_matched_iou` with Dice in the place of IoU, for the choice of the pairs as for their score: both sets are
    replicated to lcm(N, M), and a class absent from both counts 1.
    """
    return matched_similarity(_dice(readings, masks, num_classes, rated))


def _dice(readings: NDArray, masks: NDArray, num_classes: int, rated: NDArray | None) -> NDArray[np.float64]:
    masks, rated = present_raters(masks, num_classes, rated)
    return dice_matrix(readings, masks, num_classes, None, rated)
