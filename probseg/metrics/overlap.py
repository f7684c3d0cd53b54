"""How the single best mask and the mean map overlap with the raters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.known import mean_of_known
from probseg.analysis.overlap import dice, iou, overlap_counts
from probseg.analysis.softdice import soft_dice
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric, Figure, as_pairs, ratio_of

__all__ = ["OverlapScores"]


class OverlapScores(CaseMetric):
    """``dice`` and ``iou`` of the mode with each rater, and ``soft_dice`` of the mean with the raters' mean.

    Mean over raters and foreground classes of a case, then over cases; pairs that are both empty are left out.

    Args:
        num_classes: C, background included.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes

    @property
    def figures(self) -> Mapping[str, Figure]:
        """The three figures."""
        return {"dice": ratio_of(0), "iou": ratio_of(2), "soft_dice": ratio_of(4)}

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """Each figure of each case as a value and a count."""
        mode, mean = distribution.mode.cpu().numpy(), distribution.mean.cpu().numpy()
        drawn, looked = masks.cpu().numpy(), rated.cpu().numpy()
        rows = []
        for k in range(len(drawn)):
            counts = overlap_counts(mode[k : k + 1], drawn[k], self.num_classes, None, looked[k])
            scores = [mean_of_known(f(counts)[0, :, 1:]) for f in (dice, iou)]
            rows.append([*scores, soft_dice(mean[k], drawn[k], rated=looked[k])])
        return as_pairs(np.array(rows))
