"""Spearman's rank correlation of weighted values and of counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["spearman", "spearman_of_counts", "weighted_spearman"]


def _middle_ranks(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean rank of each bin of ``(..., bins)`` counts."""
    return np.cumsum(counts, axis=-1) - counts / 2


def spearman_of_counts(counts: NDArray) -> NDArray[np.float64]:
    """Spearman's correlation of a joint histogram ``(..., bins of x, bins of y)``, both ascending: ``(...)``.

    What shares a bin is tied and has its mean rank (Spearman 1904, doi:10.2307/1412159; Pearson's correlation of mean
    ranks). Counts may be weights. NaN where either has but one value.
    """
    joint = np.asarray(counts, dtype=np.float64)
    of_x, of_y = joint.sum(axis=-1), joint.sum(axis=-2)
    n = np.asarray(of_x.sum(axis=-1))
    centre = (n / 2)[..., None]
    x, y = _middle_ranks(of_x) - centre, _middle_ranks(of_y) - centre
    both = (joint * x[..., :, None] * y[..., None, :]).sum(axis=(-2, -1))
    spread = np.asarray((of_x * x**2).sum(axis=-1) * (of_y * y**2).sum(axis=-1))
    # A constant has spread 0 but for rounding.
    known = spread > 1e-20 * n**6
    return np.divide(both, np.sqrt(spread), out=np.full(n.shape, np.nan), where=known)


def weighted_spearman(x: ArrayLike, y: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Spearman's correlation of ``(n,)`` values with weights ``(..., n)``, several times over: ``(...)``.

    The same as of values repeated as often as they weigh. Pairs with NaN are left out; NaN where one is constant.
    """
    a, b, w = (np.asarray(v, dtype=np.float64) for v in (x, y, weights))
    known = ~(np.isnan(a) | np.isnan(b))
    w = w[..., known]
    n = w.sum(axis=-1, keepdims=True)
    p, q = (_weighted_ranks(v[known], w) - n / 2 for v in (a, b))
    spread = np.asarray((w * p**2).sum(axis=-1) * (w * q**2).sum(axis=-1))
    constant = spread <= 1e-20 * n[..., 0] ** 6
    return np.divide((w * p * q).sum(axis=-1), np.sqrt(spread), out=np.full(spread.shape, np.nan), where=~constant)


def spearman(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Spearman's correlation of ``(n,)`` values, -1 to 1; see `weighted_spearman`.

    Example:
        >>> spearman([1, 2, 3, 4], [10, 20, 40, 30])
        0.8
    """
    return float(weighted_spearman(x, y, np.ones(len(np.asarray(x))) if weights is None else weights))


def _weighted_ranks(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean rank of each value under each row of weights, ``(..., n)``."""
    if not len(values):
        return np.zeros(weights.shape)
    _, which = np.unique(values, return_inverse=True)
    order = np.argsort(which, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(which[order]) > 0))
    return _middle_ranks(np.add.reduceat(weights[..., order], starts, axis=-1))[..., which]
