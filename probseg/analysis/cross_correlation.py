"""Whether a model is unsure where the raters differ: expected cross entropy of its readings, beside that of raters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["SMALLEST", "correlation_with_raters", "expected_log", "normalized_cross_correlation"]

SMALLEST = 1e-8  # added to every probability, so that the logarithm of none is infinite
_CONSTANT = 1e-6  # a map that varies by less, relative to its largest value, is one of rounding
_BLOCK_BYTES = 1 << 25


def normalized_cross_correlation(probabilities: NDArray, masks: NDArray, rated: NDArray | None = None) -> float:
    """Where a model's readings differ among themselves, do they differ from the raters too? 1 is best, 0 is chance.

    PHiSeg's measure (Baumgartner et al. 2019, arXiv:1906.04045), of the released code:

        E_ss(v)   = E_s[ - sum over c of p̄_c(v) log(s_c(v) + 1e-8) ],   p̄ the mean of the readings s
        E_sy(v)   = E_s[ - log(s_y(v) + 1e-8) ],                        y the label that a rater gave
        NCC       = mean over raters of the Pearson correlation of E_ss and E_sy over the voxels

    A reading counts by its probabilities and not by its labels, and every voxel of the image counts, background too.

    Args:
        probabilities: ``(N, classes, *space)``, of each reading, summing to 1 over classes.
        masks: ``(raters, *space)`` integer label maps; a label outside the classes counts as not rated.
        rated: ``(raters, *space)`` booleans, None for everywhere; voxels that a rater did not rate are left out of both
            maps of that rater.

    Returns:
        -1..1. A correlation with a constant map is undefined, whichever of the two it is: such a rater is left out, and
        so is an absent one. NaN where that leaves none: no reading, no rater, or a model that is sure everywhere.

    Example:
        >>> sure, unsure = [[0.1, 0.9, 0.1], [0.9, 0.1, 0.9]], [[0.1, 0.1, 0.1], [0.9, 0.9, 0.9]]
        >>> round(normalized_cross_correlation(np.array([sure, unsure]), np.array([[1, 0, 1]])), 3)
        1.0
    """
    n, classes = probabilities.shape[:2]
    if 0 in (n, len(masks)):
        return math.nan
    flat, drawn = probabilities.reshape(n, classes, -1), masks.reshape(len(masks), -1)
    known = (drawn >= 0) & (drawn < classes)
    if rated is not None:
        known &= np.broadcast_to(rated, masks.shape).reshape(drawn.shape)
    return correlation_with_raters(expected_log(flat), flat.mean(axis=0, dtype=np.float64), drawn, known)


def expected_log(probabilities: NDArray) -> NDArray[np.float64]:
    """``(classes, voxels)``: mean over readings of ``log(p + 1e-8)`` of ``(N, classes, voxels)``, block by block."""
    n, classes, voxels = probabilities.shape
    mean = np.empty((classes, voxels))
    step = max(1, _BLOCK_BYTES // (8 * max(1, n * classes)))
    for start in range(0, voxels, step):
        part = probabilities[:, :, start : start + step].astype(np.float64)
        mean[:, start : start + step] = np.log(part + SMALLEST).mean(axis=0)
    return mean


def correlation_with_raters(
    mean_log: NDArray[np.float64], mean: NDArray[np.float64], masks: NDArray, known: NDArray[np.bool_]
) -> float:
    """The figure from what it is made of.

    Args:
        mean_log: ``(classes, voxels)`` of `expected_log`.
        mean: ``(classes, voxels)`` mean probabilities.
        masks: ``(raters, voxels)`` labels.
        known: ``(raters, voxels)`` where they are those of a class.
    """
    among = -(mean * mean_log).sum(axis=0)
    found = []
    for mask, looked in zip(masks, known, strict=True):
        chosen = np.take_along_axis(mean_log[:, looked], mask[looked][None].astype(np.intp), axis=0)[0]
        found.append(_correlation(among[looked], -chosen))
    defined = [value for value in found if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's, over population moments; NaN where either is constant or there are no voxels."""
    if any(x.size == 0 or np.ptp(x) <= _CONSTANT * np.abs(x).max() for x in (a, b)):
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / math.sqrt((a @ a) * (b @ b)))
