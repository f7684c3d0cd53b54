"""Whether a model is unsure where the raters differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probseg.analysis.cross_correlation import SMALLEST, correlation_with_raters
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric, Figure, as_pairs, ratio_of

__all__ = ["CrossCorrelation"]

_FACTORS = 32  # so many factors of 1e-8 are far above the least float64


class CrossCorrelation(CaseMetric):
    """``ncc``: correlation of the expected cross entropy among readings with that between readings and each rater.

    Defined in `probseg.analysis.cross_correlation` (Baumgartner et al. 2019, arXiv:1906.04045). Mean over raters, then
    over the cases where it is defined: a distribution that is sure of one mask has none.

    Args:
        num_classes: C, background included.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes

    @property
    def figures(self) -> Mapping[str, Figure]:
        """The one figure."""
        return {"ncc": ratio_of(0)}

    def statistics(
        self, distribution: SegmentationDistribution, masks: Tensor, rated: Tensor, spacing_mm: Tensor | None
    ) -> NDArray[np.float64]:
        """The figure of each case as a value and a count."""
        mean = distribution.mean.double().flatten(2).cpu().numpy()  # (batch, classes, voxels)
        mean_log = _expected_log(distribution).flatten(2).cpu().numpy()
        drawn = masks.flatten(2).cpu().numpy()
        known = rated.flatten(2).cpu().numpy() & (drawn < self.num_classes)
        cases = zip(mean_log, mean, drawn, known, strict=True)
        return as_pairs(np.array([[correlation_with_raters(*case)] for case in cases]))


def _expected_log(distribution: SegmentationDistribution) -> Tensor:
    """``(batch, classes, *space)`` float64 mean over draws of ``log(p + 1e-8)``, holding one draw at a time.

    The sum of logarithms is the logarithm of a product, which costs less: one logarithm for many draws.
    """
    draws = distribution.probs.flatten(0, 1)
    total = torch.zeros_like(draws[0], dtype=torch.float64)
    shifted = torch.empty_like(draws[0])
    for start in range(0, len(draws), _FACTORS):
        product = torch.ones_like(total)
        for draw in draws[start : start + _FACTORS]:
            product *= torch.add(draw, SMALLEST, out=shifted)
        total += product.log_()
    return total / len(draws)
