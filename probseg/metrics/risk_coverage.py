"""Whether the voxels of which a model is least sure are those that it gets wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.risk_coverage import area_of_counts
from probseg.analysis.voxel_ranking import UNCERTAINTY_BINS, error_counts, excess_area_of_errors
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric, Figure
from probseg.metrics.calibration import image_cases

__all__ = ["RiskCoverageScores"]


class RiskCoverageScores(CaseMetric):
    """``aurc`` and ``excess_aurc`` of the entropy, over the voxels of all cases in the region; 0 is best.

    The region is that of `CalibrationScores`; each rated (voxel, rater) is a trial, wrong where the rater's class is
    not the mode's. Defined in `probseg.analysis.voxel_ranking`.

    Args:
        num_classes: C, background included.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes

    @property
    def figures(self) -> Mapping[str, Figure]:
        """Both figures."""
        return {
            "aurc": lambda sums: area_of_counts(_counts(sums).sum(axis=-1), _counts(sums)[..., 1]),
            "excess_aurc": lambda sums: excess_area_of_errors(_counts(sums)),
        }

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """Trials of each case by uncertainty, right and wrong."""
        entropy, mode = distribution.entropy.cpu().numpy(), distribution.mode.cpu().numpy()
        cases = enumerate(image_cases(distribution, masks, rated, spacing_mm))
        rows = [
            error_counts(entropy[k], mode[k], drawn, self.num_classes, looked, region).ravel()
            for k, (_, drawn, looked, region) in cases
        ]
        return np.array(rows, dtype=np.float64)


def _counts(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums.reshape(*sums.shape[:-1], UNCERTAINTY_BINS, 2)
