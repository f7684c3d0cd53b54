"""Calibration of every class by bins of equal mass, over cases, processes and patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.bootstrap import Interval
from probseg.analysis.calibration import cell_counts, class_score_sums, equal_mass_gaps
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric, Figure, ratio_of
from probseg.metrics.calibration import image_cases, means_of_case

__all__ = ["ClasswiseCalibration"]

_FINENESS = 3  # 256 cells: 6 kB a class and case; the error that this makes is tested to be below 1e-3
_CELLS = 32 << _FINENESS


class ClasswiseCalibration(CaseMetric):
    """``ace`` in the region and ``ace_image``: the gap of every class over bins of equal mass, averaged over classes.

    Of all trials together. Each class's probability is counted in 256 fixed cells a case, so that figures of any set of
    cases follow without keeping an image; `probseg.analysis.calibration.cell_counts` says what error that can make.

    Args:
        num_classes: C, background included.
        bins: number of bins of equal mass.
    """

    def __init__(self, num_classes: int, bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.bins = bins

    @property
    def figures(self) -> Mapping[str, Figure]:
        """Both figures."""
        return {
            "ace": lambda sums: equal_mass_gaps(self._cells(sums, 0), self.bins).mean(axis=-1),
            "ace_image": lambda sums: equal_mass_gaps(self._cells(sums, 1), self.bins).mean(axis=-1),
        }

    def _cells(self, sums: NDArray[np.float64], part: int) -> NDArray[np.float64]:
        size = self.num_classes * _CELLS * 3
        chosen = sums[..., part * size : (part + 1) * size]
        return chosen.reshape(*sums.shape[:-1], self.num_classes, _CELLS, 3)

    def intervals(
        self, samples: int = 1000, seed: int = 0, only: NDArray[np.int64] | None = None
    ) -> dict[str, Interval]:
        """As of every metric; each figure of its own half of the cells."""
        size = self.num_classes * _CELLS * 3
        found: dict[str, Interval] = {}
        for part, name in enumerate(("ace", "ace_image")):
            figure = {name: lambda sums: equal_mass_gaps(self._cells(sums, 0), self.bins).mean(axis=-1)}
            columns = slice(part * size, (part + 1) * size)
            found |= self.intervals_of(figure, samples, seed, only, columns)
        return found

    def of_classes(self, samples: int = 1000) -> list[dict[str, Interval]]:
        """``ace`` and ``brier`` of each class against the rest in the region, with 95 % patient-bootstrap intervals."""
        size, found = _CELLS * 3, []
        for c in range(self.num_classes):
            gap: dict[str, Figure] = {"ace": lambda s: equal_mass_gaps(s.reshape(*s.shape[:-1], _CELLS, 3), self.bins)}
            start = 2 * self.num_classes * size + 2 * c
            found.append(
                {
                    **self.intervals_of(gap, samples, columns=slice(c * size, (c + 1) * size)),
                    **self.intervals_of({"brier": ratio_of(0)}, samples, columns=slice(start, start + 2)),
                }
            )
        return found

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """Cells in the region and of the whole image, then each class's Brier score as a value and a count."""
        rows = []
        for mean, drawn, looked, region in image_cases(distribution, masks, rated, spacing_mm):
            cells = [cell_counts(mean, drawn, looked, part, _FINENESS).ravel() for part in (region, None)]
            brier = means_of_case(class_score_sums(mean, drawn, looked, region).ravel())
            rows.append(np.concatenate([*cells, brier]))
        return np.array(rows)
