"""A factor and an offset for each class's logit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probseg.calibrators.base import Calibrator, Sizes
from probseg.calibrators.sample import CalibrationSample
from probseg.distribution import SegmentationDistribution

__all__ = ["VectorScaling"]

_CLASSES = 3


class VectorScaling(Calibrator):
    """``z_c -> w_c z_c + b_c`` for every draw (Guo et al. 2017, arXiv:1706.04599, section 4.2).

    Logits are first centred over the classes of a voxel: a network may add any number to all of them, which means
    nothing and must not change what the factors do. Offsets move borders between classes, so readings and volumes
    change, which mends a model that draws a class too rarely. A class without votes stays where it was by a weak pull.
    """

    def prepare(self, sizes: Sizes) -> None:
        """Factors 1 and offsets 0."""
        self.weight = nn.Parameter(torch.ones(sizes.classes))
        self.bias = nn.Parameter(torch.zeros(sizes.classes))

    def penalty(self, sample: CalibrationSample) -> Tensor:
        """1e-5 times the squared distance from changing nothing."""
        return 1e-5 * ((self.weight - 1).square().sum() + self.bias.square().sum())

    def forward(self, distribution: SegmentationDistribution, image: Tensor) -> SegmentationDistribution:
        """Centred logits, scaled and moved."""
        logits = distribution.logits
        along = (-1, *(1,) * (logits.ndim - _CLASSES - 1))
        centred = logits - logits.mean(dim=_CLASSES, keepdim=True)
        return SegmentationDistribution(centred * self.weight.reshape(along) + self.bias.reshape(along))
