"""Whether a predicted 70 % is what 70 % of the raters say, around what anyone drew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.calibration import calibration_counts, expected_calibration_error
from probseg.analysis.region import union_region
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric, Figure, as_pairs, ratio_of

__all__ = ["CalibrationScores"]

_FLOOR = 1e-12


class CalibrationScores(CaseMetric):
    """``ece``, ``brier`` and ``nll`` in the region: the union of the raters' and the mode's foreground, grown by 5 mm.

    Each rated (voxel, rater) is a trial; labels that are no leaf are not. Defined in `probseg.analysis.calibration`.

    Args:
        num_classes: C, background included.
        bins: number of equal-width bins of the top class's probability.
    """

    def __init__(self, num_classes: int, bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.bins = bins

    @property
    def figures(self) -> Mapping[str, Figure]:
        """ECE of all trials together; Brier (summed over classes) and NLL a trial, as means over cases."""
        return {
            "ece": lambda sums: expected_calibration_error(self._bins(sums)),
            "brier": ratio_of(0),
            "nll": ratio_of(2),
        }

    def _bins(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return sums[..., 4:].reshape(*sums.shape[:-1], self.bins, 3)

    def reliability(self) -> NDArray[np.float64]:
        """``(bins, 3)`` over all cases: summed top probability, hits, trials."""
        _, _, sums = self.cases()
        return self._bins(sums.sum(axis=0)) if len(sums) else np.zeros((self.bins, 3))

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """Brier and NLL of each case as a value and a count, then the bins."""
        mean, mode = distribution.mean.cpu().numpy(), distribution.mode.cpu().numpy()
        drawn, looked = masks.cpu().numpy(), rated.cpu().numpy()
        spacing = None if spacing_mm is None else spacing_mm.cpu().numpy()
        rows = []
        for k in range(len(mean)):
            known = spacing is not None and bool(np.isfinite(spacing[k]).all())
            region = union_region(
                drawn[k],
                mode[k],
                self.num_classes,
                looked[k],
                tuple(spacing[k]) if known and spacing is not None else None,
            )
            rows.append(self._case(mean[k], drawn[k], looked[k], region))
        return np.array(rows)

    def _case(
        self, mean: NDArray, masks: NDArray, rated: NDArray[np.bool_], region: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        counts = calibration_counts(mean, masks, rated, region, self.bins)
        chosen = mean[:, region].astype(np.float64)  # (classes, voxels)
        square = (chosen**2).sum(axis=0)
        brier, nll, trials = 0.0, 0.0, 0
        for mask, looked in zip(masks, rated, strict=True):
            valid = looked[region] & (mask[region] < self.num_classes)
            said = np.take_along_axis(chosen, mask[region][None].clip(max=self.num_classes - 1), axis=0)[0][valid]
            brier += float((square[valid] - 2 * said + 1).sum())
            nll -= float(np.log(np.maximum(said, _FLOOR)).sum())
            trials += int(valid.sum())
        scores = np.array([brier, nll]) / trials if trials else np.full(2, np.nan)
        return np.concatenate([as_pairs(scores[None])[0], counts.ravel()])
