"""The one base of every metric: additive statistics a case, and figures of their sum.

Because a figure is a function of sums over cases, it is exact over several processes, may be had for each case, and
may be bootstrapped over patients without keeping a single image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from probseg.analysis.additive import Figure, as_pairs, ratio_of
from probseg.analysis.bootstrap import Interval, bootstrap
from probseg.distribution import SegmentationDistribution

__all__ = ["CaseMetric", "Figure", "as_pairs", "ratio_of"]


class CaseMetric(Metric, ABC):
    """Base of metrics whose figures are functions of statistics summed over cases.

    A subclass writes `statistics` and `figures`. `compute` returns a dict of figure name to value; it drops repeats
    of a case, which a distributed sampler makes to fill up the last batch.
    """

    full_state_update = False
    index: list[Tensor]
    patient: list[Tensor]
    sums: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("index", "patient", "sums"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    @property
    @abstractmethod
    def figures(self) -> Mapping[str, Figure]:
        """Name to a function of summed statistics ``(..., k)`` to ``(...)``, NaN where undefined."""

    @abstractmethod
    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """``(batch, k)`` statistics of each case; they add up over cases. A case that does not count is all zeros."""

    def update(
        self,
        distribution: SegmentationDistribution,
        masks: Tensor,
        rated: Tensor,
        index: Tensor | None = None,
        patient: Tensor | None = None,
        spacing_mm: Tensor | None = None,
    ) -> None:
        """Add the cases of a batch.

        Args:
            distribution: the prediction, space as in ``masks``.
            masks: ``(batch, raters, *space)`` dense labels.
            rated: the same shape, bool.
            index: ``(batch,)`` which case it is; None takes every case as a new one.
            patient: ``(batch,)`` number of the patient, for `intervals`; None takes every case as a patient.
            spacing_mm: ``(batch, axes of space)``, NaN where unknown.
        """
        self.append(self.statistics(distribution, masks, rated, spacing_mm), index, patient)

    def append(self, statistics: NDArray[np.float64], index: Tensor | None, patient: Tensor | None) -> None:
        """Keep the ``(batch, k)`` statistics of some cases; the rest as for `update`."""
        sums = torch.from_numpy(statistics)
        unnamed = torch.full((len(sums),), -1, dtype=torch.int64)
        self.sums.append(sums.to(self.device))
        self.index.append((unnamed if index is None else index).to(self.device))
        self.patient.append((unnamed if patient is None else patient).to(self.device))

    def cases(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Index, patient and statistics of every distinct case, ``(n,)``, ``(n,)`` and ``(n, k)``, by index."""
        if not len(self.sums):
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 1))
        index, patient, sums = (
            dim_zero_cat(cast(Any, state)).cpu().numpy() for state in (self.index, self.patient, self.sums)
        )
        index = np.where(index < 0, np.arange(len(index)) + index.max(initial=0) + 1, index)
        index, first = np.unique(index, return_index=True)
        patient = patient[first]
        return index, np.where(patient < 0, np.arange(len(patient)) + patient.max(initial=0) + 1, patient), sums[first]

    def pool(self, group: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> None:
        """Replace cases that ``group`` maps to the same number by one case with the mean of their statistics."""
        index, patient, sums = self.cases()
        names, first, inverse = np.unique(group(index), return_index=True, return_inverse=True)
        pooled = np.zeros((len(names), sums.shape[1]))
        np.add.at(pooled, inverse, sums)
        pooled /= np.bincount(inverse)[:, None]
        self.index, self.patient = [torch.from_numpy(names)], [torch.from_numpy(patient[first])]
        self.sums = [torch.from_numpy(pooled)]

    def compute(self) -> dict[str, Tensor]:
        """Every figure over all cases, float64; NaN where nothing counted."""
        _, _, sums = self.cases()
        total = sums.sum(axis=0)
        if not len(sums):
            return {name: torch.tensor(float("nan"), dtype=torch.float64) for name in self.figures}
        return {name: torch.as_tensor(np.float64(f(total))) for name, f in self.figures.items()}

    def per_case(self) -> dict[str, NDArray[np.float64]]:
        """Every figure of every case, ``(n,)`` in the order of `cases`."""
        _, _, sums = self.cases()
        return {name: np.asarray(f(sums)) for name, f in self.figures.items()} if len(sums) else {}

    def intervals(
        self, samples: int = 1000, seed: int = 0, only: NDArray[np.int64] | None = None
    ) -> dict[str, Interval]:
        """Every figure with its 95 % patient-bootstrap interval; ``n`` counts the cases where it is defined.

        Args:
            samples: how many times patients are drawn.
            seed: of the draws.
            only: indices of the cases that count; None for all.
        """
        return self.intervals_of(self.figures, samples, seed, only)

    def intervals_of(
        self,
        figures: Mapping[str, Figure],
        samples: int = 1000,
        seed: int = 0,
        only: NDArray[np.int64] | None = None,
        columns: slice = slice(None),
    ) -> dict[str, Interval]:
        """As `intervals`, of any figures of some columns of this metric's statistics; fewer are faster."""
        index, patients, sums = self.cases()
        sums = sums[:, columns]
        if only is not None:
            kept = np.isin(index, only)
            patients, sums = patients[kept], sums[kept]
        if not len(sums):
            return {name: Interval(float("nan"), float("nan"), float("nan"), 0) for name in figures}
        out = {}
        for name, f in figures.items():
            counted = ~np.isnan(np.asarray(f(sums)))
            out[name] = bootstrap(sums[counted], patients[counted], f, samples, seed)
        return out
