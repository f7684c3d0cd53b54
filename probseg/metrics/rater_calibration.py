"""Calibration against each rater alone, where a rater's name is the same person in every case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.bootstrap import Interval
from probseg.analysis.calibration import expected_calibration_error
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric, Figure, ratio_of
from probseg.metrics.calibration import case_scores, image_cases

__all__ = ["RaterCalibration"]

_BINS = 15


class RaterCalibration(CaseMetric):
    """``ece``, ``brier`` and ``nll`` against each rater by name, in the region that all raters of a case span.

    A model of the raters together is calibrated against each only if they draw alike; who is off from it shows here.

    Args:
        names: of the raters; a batch has their positions here.
        admissible: ``(labels, classes)`` bool.
    """

    def __init__(self, names: Sequence[str], admissible: Tensor) -> None:
        super().__init__()
        self.names = tuple(names)
        self._admissible = admissible.cpu().numpy()

    @property
    def figures(self) -> dict[str, Figure]:
        """``NAME of rater`` figures, such as ``ece/anna``."""
        return {f"{metric}/{name}": f for k, name in enumerate(self.names) for metric, f in self._of(k).items()}

    def _of(self, number: int) -> dict[str, Figure]:
        size = 4 + 3 * _BINS
        start = number * size

        def ece(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            bins = sums[..., start + 4 : start + size]
            return expected_calibration_error(bins.reshape(*sums.shape[:-1], _BINS, 3))

        return {"ece": ece, "brier": ratio_of(start), "nll": ratio_of(start + 2)}

    def of_raters(self, samples: int = 1000) -> dict[str, dict[str, Interval]]:
        """The figures of each rater who drew a case, with 95 % patient-bootstrap intervals."""
        found = {name: self.intervals_of(self._of(k), samples) for k, name in enumerate(self.names)}
        return {name: figures for name, figures in found.items() if figures["ece"].n}

    def add(
        self,
        distribution: SegmentationDistribution,
        masks: Tensor,
        rated: Tensor,
        rater: Tensor,
        index: Tensor,
        patient: Tensor,
        spacing_mm: Tensor | None,
    ) -> None:
        """Add the cases of a batch; ``rater`` is ``(batch, raters)`` who drew each mask, -1 for nobody known."""
        who, rows = rater.cpu().numpy(), []
        for k, (mean, drawn, looked, region) in enumerate(image_cases(distribution, masks, rated, spacing_mm)):
            own = [who[k] == number for number in range(len(self.names))]
            rows += [case_scores(mean, drawn[m], looked[m], region, _BINS, self._admissible) for m in own]
        self.append(np.concatenate(rows).reshape(len(masks), -1), index, patient)

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """Nobody's: without who drew each mask there is no rater to tell from the others."""
        raise NotImplementedError("use add, which knows the raters")
