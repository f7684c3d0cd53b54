"""Means over what is known: an undefined figure is neither 0 nor allowed to spoil the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["mean_known", "mean_of_known"]


def mean_known(values: ArrayLike, axis: int = 0) -> NDArray[np.float64]:
    """Mean along an axis over what is not NaN; NaN where nothing is known, and no warning.

    Example:
        >>> mean_known([[1.0, np.nan], [3.0, np.nan]]).tolist()
        [2.0, nan]
    """
    table = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(table)
    total, count = np.where(known, table, 0.0).sum(axis=axis), known.sum(axis=axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def mean_of_known(values: ArrayLike | Sequence[float]) -> float:
    """Mean of all entries that are not NaN; NaN where there is none."""
    return float(mean_known(np.asarray(values, dtype=np.float64).ravel()))
