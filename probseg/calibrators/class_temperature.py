"""A temperature for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probseg.calibrators.base import Calibrator, Sizes
from probseg.calibrators.sample import CalibrationSample
from probseg.distribution import SegmentationDistribution

__all__ = ["ClassTemperature"]

_CLASSES = 3  # the class axis of (models, readings, batch, classes, *space)


class ClassTemperature(Calibrator):
    """Divides the logits of a voxel by the temperature of the class that a draw finds there.

    Class-based temperature scaling (Frenkel and Goldberger 2021, doi:10.23919/EUSIPCO54536.2021.9616219): a network may
    be too sure of a lesion and not sure enough of background. The most probable class of a draw stays what it was, and
    so do readings. A class that no draw finds in the calibration cases keeps T = 1 by a weak pull.
    """

    def prepare(self, sizes: Sizes) -> None:
        """T = 1 for every class."""
        self.log_temperature = nn.Parameter(torch.zeros(sizes.classes))

    @property
    def temperatures(self) -> list[float]:
        """T of each class, above 0."""
        return [float(t) for t in self.log_temperature.detach().exp()]

    def penalty(self, sample: CalibrationSample) -> Tensor:
        """1e-6 times the squared log-temperatures."""
        return 1e-6 * self.log_temperature.square().sum()

    def forward(self, distribution: SegmentationDistribution, image: Tensor) -> SegmentationDistribution:
        """Logits divided by the temperature of each draw's class."""
        found = distribution.logits.argmax(dim=_CLASSES, keepdim=True)  # (models, readings, batch, 1, *space)
        return SegmentationDistribution(distribution.logits * (-self.log_temperature).exp()[found])
