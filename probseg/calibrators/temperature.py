"""One temperature for every logit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probseg.calibrators.base import Calibrator, Sizes
from probseg.distribution import SegmentationDistribution

__all__ = ["Temperature"]


class Temperature(Calibrator):
    """Divides the logits of every draw by T (Guo et al. 2017, arXiv:1706.04599, section 4.2).

    The most probable class of a draw stays what it was, and so do readings and all that is made of them; how sure each
    draw is changes. Above 1 the model was too sure.
    """

    def prepare(self, sizes: Sizes) -> None:
        """T = 1."""
        self.log_temperature = nn.Parameter(torch.zeros(()))

    @property
    def temperature(self) -> float:
        """T, above 0."""
        return float(self.log_temperature.detach().exp())

    def forward(self, distribution: SegmentationDistribution, image: Tensor) -> SegmentationDistribution:
        """Every logit divided by T."""
        return SegmentationDistribution(distribution.logits / self.log_temperature.exp())
