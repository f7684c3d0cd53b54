"""Figures over cases, with intervals from a bootstrap over their patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import Interval, bootstrap_columns

__all__ = ["Over"]


@dataclass(frozen=True)
class Over:
    """Patients of the cases, in their order, and the bootstrap over them."""

    patients: tuple[str, ...]
    samples: int
    seed: int

    def means(self, values: NDArray[np.float64]) -> list[Interval]:
        """Mean over cases of each column of ``(cases, figures)``; NaN is not counted."""
        return self.figures(np.stack([values, np.ones_like(values)], axis=2), ratio)

    def figures(
        self, statistics: NDArray, figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> list[Interval]:
        """A figure of sums over cases of each column of ``(cases, figures, k)``."""
        return bootstrap_columns(statistics, self.patients, figure, self.samples, self.seed)
