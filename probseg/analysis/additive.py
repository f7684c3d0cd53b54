"""Figures as functions of sums over cases: a mean is kept as a sum and a count, so that parts may be added."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Figure", "as_pairs", "ratio", "ratio_of"]

Figure = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Summed statistics ``(..., k)`` to figures ``(...)``, NaN where undefined."""


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """First of two sums over the second, ``(..., 2)`` to ``(...)``; NaN where the second is 0."""
    top, bottom = sums[..., 0], sums[..., 1]
    return np.divide(top, bottom, out=np.full(np.shape(bottom), np.nan), where=bottom != 0)


def ratio_of(column: int) -> Figure:
    """The figure ``sums[column] / sums[column + 1]``: a mean kept as a sum and a count."""
    return lambda sums: ratio(sums[..., column : column + 2])


def as_pairs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(cases, k)`` values with NaN where undefined, to ``(cases, 2 k)`` sums and counts.

    Example:
        >>> as_pairs(np.array([[0.5, np.nan]])).tolist()
        [[0.5, 1.0, 0.0, 0.0]]
    """
    known = ~np.isnan(values)
    return np.stack([np.where(known, values, 0.0), known.astype(np.float64)], axis=-1).reshape(len(values), -1)
