"""Whether a predicted 70 % is what 70 % of the raters say, around what anyone drew and on the whole image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.calibration import (
    calibration_counts,
    expected_calibration_error,
    maximum_calibration_error,
    reliability_curve,
    score_sums,
)
from probseg.analysis.region import union_region
from probseg.distribution import SegmentationDistribution
from probseg.io.tables import write_csv
from probseg.metrics.base import CaseMetric, Figure, as_pairs, ratio_of

__all__ = ["CalibrationScores", "ImageCase", "case_scores", "image_cases", "means_of_case", "write_reliability"]

ImageCase = tuple[NDArray[np.float32], NDArray, NDArray[np.bool_], NDArray[np.bool_]]
"""Mean ``(classes, *space)``, masks and rated ``(raters, *space)``, region ``space``."""

_SCORES = 4  # Brier and NLL of a case, each as a value and a count


def image_cases(
    distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
) -> list[ImageCase]:
    """The cases of a batch in NumPy, each with the union of the raters' and the mode's foreground, grown by 5 mm."""
    mean, mode = distribution.mean.cpu().numpy(), distribution.mode.cpu().numpy()
    drawn, looked = masks.cpu().numpy(), rated.cpu().numpy()
    spacing = None if spacing_mm is None else spacing_mm.cpu().numpy()
    cases = []
    for k in range(len(mean)):
        known = None if spacing is None or not np.isfinite(spacing[k]).all() else tuple(spacing[k].tolist())
        region = union_region(drawn[k], mode[k], mean.shape[1], looked[k], known)
        cases.append((mean[k], drawn[k], looked[k], region))
    return cases


def means_of_case(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(2 n,)`` pairs of sum and trials to pairs of mean and 1, or zeros where there was no trial."""
    total, trials = sums[::2], sums[1::2]
    return as_pairs(np.divide(total, trials, out=np.full(len(total), np.nan), where=trials > 0)[None])[0]


class CalibrationScores(CaseMetric):
    """``ece``, ``mce``, ``brier`` and ``nll`` in the region, and ``ece_image``, ``mce_image``, ``brier_image`` of all.

    The region is the union of the raters' and the mode's foreground, grown by 5 mm: easy background drives the figures
    of the whole image to nought. Each rated (voxel, rater) is a trial. A label that is no class is a trial of ``nll``
    alone, where it counts by the classes that it admits; the likelihood of the whole image is `RaterLikelihood`'s.
    ECE and MCE are of all trials together, Brier and NLL means over cases. Defined in `probseg.analysis.calibration`.

    Args:
        num_classes: C, background included.
        bins: number of equal-width bins of the top class's probability.
        admissible: ``(labels, classes)`` bool; None for classes alone.
    """

    def __init__(self, num_classes: int, bins: int = 15, admissible: Tensor | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.bins = bins
        self._admissible = None if admissible is None else admissible.cpu().numpy()

    @property
    def figures(self) -> Mapping[str, Figure]:
        """The seven figures."""
        half = _SCORES + 3 * self.bins
        return {
            "ece": lambda sums: expected_calibration_error(self._bins(sums, 0)),
            "mce": lambda sums: maximum_calibration_error(self._bins(sums, 0)),
            "brier": ratio_of(0),
            "nll": ratio_of(2),
            "ece_image": lambda sums: expected_calibration_error(self._bins(sums, half)),
            "mce_image": lambda sums: maximum_calibration_error(self._bins(sums, half)),
            "brier_image": ratio_of(half),
        }

    def _bins(self, sums: NDArray[np.float64], start: int) -> NDArray[np.float64]:
        first = start + _SCORES
        return sums[..., first : first + 3 * self.bins].reshape(*sums.shape[:-1], self.bins, 3)

    def reliability(self) -> NDArray[np.float64]:
        """``(bins, 3)`` over all cases, in the region: summed top probability, hits, trials."""
        _, _, sums = self.cases()
        return self._bins(sums.sum(axis=0), 0) if len(sums) else np.zeros((self.bins, 3))

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """In the region and then of the whole image: Brier and NLL as a value and a count, and the bins."""
        measure = partial(case_scores, bins=self.bins, admissible=self._admissible)
        rows = []
        for mean, drawn, looked, region in image_cases(distribution, masks, rated, spacing_mm):
            rows.append(
                np.concatenate([measure(mean, drawn, looked, region), measure(mean, drawn, looked, region=None)])
            )
        return np.array(rows)


def case_scores(
    mean: NDArray,
    masks: NDArray,
    rated: NDArray[np.bool_],
    region: NDArray[np.bool_] | None,
    bins: int,
    admissible: NDArray | None,
) -> NDArray[np.float64]:
    """``(4 + 3 bins,)``: Brier and NLL of one case as a value and a count, then its bins."""
    scores = score_sums(mean, masks, rated, region, admissible)
    return np.concatenate([means_of_case(scores), calibration_counts(mean, masks, rated, region, bins).ravel()])


def write_reliability(path: Path, family: str, counts: NDArray[np.float64]) -> None:
    """A reliability curve of ``(bins, 3)`` as a table; empty bins have count 0 and no confidence or frequency."""
    edges = np.linspace(0, 1, len(counts) + 1)
    rows = [
        (family, k, edges[k], edges[k + 1], confidence, frequency, int(trials))
        for k, (confidence, frequency, trials) in enumerate(zip(*reliability_curve(counts), strict=True))
    ]
    write_csv(path, ("family", "bin", "low", "high", "confidence", "frequency", "count"), rows)
