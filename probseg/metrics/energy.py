"""GED, its floor, the matched IoU and the two diversities, all from the same distances."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.energy import matched_similarity, mean_distinct, perfect_model_floor, squared_energy_distance
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric, Figure, as_pairs, ratio_of

__all__ = ["EnergyDistances", "iou_matrix"]

_NAMES = ("ged_v", "ged_u", "ged_floor", "hm_iou", "diversity", "rater_diversity")


def iou_matrix(a: Tensor, b: Tensor, num_classes: int, rated_a: Tensor | None, rated_b: Tensor | None) -> Tensor:
    """Mean foreground IoU between every map of ``a`` and of ``b``; the torch twin of `probseg.analysis.overlap`.

    Args:
        a: ``(n, voxels)`` labels; those of ``num_classes`` or more are not rated.
        b: ``(m, voxels)`` likewise.
        num_classes: C.
        rated_a: booleans of the shape of ``a``, None for everywhere.
        rated_b: booleans of the shape of ``b``, likewise.

    Returns:
        ``(n, m)`` float64 on the CPU; a class absent from both counts 1.
    """
    valid_a = a < num_classes if rated_a is None else (a < num_classes) & rated_a
    valid_b = b < num_classes if rated_b is None else (b < num_classes) & rated_b
    total = torch.zeros(len(a), len(b), dtype=torch.float64)
    va, vb = valid_a.float(), valid_b.float()
    with torch.autocast(a.device.type, enabled=False):  # validation runs in bf16, which cannot count beyond 256
        for c in range(1, num_classes):
            in_a, in_b = ((a == c) & valid_a).float(), ((b == c) & valid_b).float()
            both = (in_a @ in_b.T).double()  # counts stay exact in float32 up to 2^24 voxels
            union = (in_a @ vb.T).double() + (va @ in_b.T).double() - both
            total += torch.where(union > 0, both / union.clamp(min=1), 1.0).cpu()
    return total / (num_classes - 1)


class EnergyDistances(CaseMetric):
    """``ged_v``, ``ged_u``, ``ged_floor``, ``hm_iou``, ``diversity`` and ``rater_diversity``, means over cases.

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
        """The six figures."""
        return {name: ratio_of(2 * k) for k, name in enumerate(_NAMES)}

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """Each figure of each case as a value and a count."""
        readings = distribution.readings().flatten(2)  # (draws, batch, voxels)
        return as_pairs(
            np.array([self._case(readings[:, k], masks[k].flatten(1), rated[k].flatten(1)) for k in range(len(masks))])
        )

    def _case(self, readings: Tensor, masks: Tensor, rated: Tensor) -> list[float]:
        present = ((masks < self.num_classes) & rated).any(dim=1)
        if not present.any():
            return [math.nan] * len(_NAMES)
        masks, rated = masks[present], rated[present]
        drawn = (readings > 0).any(dim=0) | (masks > 0).any(dim=0)  # the rest is background to everyone
        readings, masks, rated = readings[:, drawn], masks[:, drawn], rated[:, drawn]
        similarity = iou_matrix(readings, masks, self.num_classes, None, rated).numpy()
        d_ss = 1 - iou_matrix(readings, readings, self.num_classes, None, None).numpy()
        d_yy = 1 - iou_matrix(masks, masks, self.num_classes, rated, rated).numpy()
        point = len(d_ss) == 1
        unbiased_ss = np.zeros((2, 2)) if point else d_ss
        return [
            squared_energy_distance(1 - similarity, d_ss, d_yy),
            squared_energy_distance(1 - similarity, unbiased_ss, d_yy, unbiased=True),
            perfect_model_floor(d_yy, self.readings if point else len(d_ss)),
            matched_similarity(similarity),
            mean_distinct(unbiased_ss),
            mean_distinct(d_yy),
        ]
