"""GED, its floor, matched and best overlaps and the two diversities, all from the same pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.distance_figures import DISTANCE_FIGURES, distance_figures
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric, Figure, as_pairs, ratio_of
from probseg.metrics.pair_counts import count_pairs

__all__ = ["EnergyDistances"]


class EnergyDistances(CaseMetric):
    """``ged_v``, ``ged_u``, ``ged_floor``, ``hm_iou``, ``d_max``, ``d_match`` and both diversities, means over cases.

    Definitions in `probseg.analysis.energy`. A distribution of one draw is a point: its readings are all alike, so its
    diversity is 0 and it stands for ``readings`` equal readings in the floor.

    Args:
        num_classes: C, background included.
        readings: how many readings a distribution of one draw stands for.
    """

    def __init__(self, num_classes: int, readings: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.readings = readings

    @property
    def figures(self) -> Mapping[str, Figure]:
        """`DISTANCE_FIGURES`."""
        return {name: ratio_of(2 * k) for k, name in enumerate(DISTANCE_FIGURES)}

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """Each figure of each case as a value and a count."""
        readings = distribution.readings().flatten(2)  # (draws, batch, voxels)
        masks, rated = masks.flatten(2), rated.flatten(2)
        pairs = (count_pairs(readings[:, k], masks[k], self.num_classes, rated[k]) for k in range(len(masks)))
        return as_pairs(np.array([distance_figures(p, self.readings) for p in pairs]))
