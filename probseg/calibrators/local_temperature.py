"""A temperature for each voxel, told by a small network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probseg.calibrators.base import Calibrator, Sizes
from probseg.calibrators.sample import CalibrationSample
from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError

__all__ = ["LocalTemperature"]

_CLASSES = 3
_SPAN = 3.0  # log-temperatures stay within the common one and this, either way


class LocalTemperature(Calibrator):
    """Divides the logits of a voxel by T(x), which a small network tells of image and logits.

    Local temperature scaling (Ding et al. 2021, ICCV, arXiv:2008.05105): borders and interiors are wrongly sure in
    different ways. ``log T(x) = t + 3 tanh(f(image, logits) / 3)`` with f three convolutions (theirs: a tree of larger
    ones), from the image and the mean over draws of centred logits. All draws share T(x), so the most probable class of
    a draw stays what it was, and a draw stays one function of the whole scan. At first t is fitted alone, which is
    `Temperature`, then all of it with a pull to f = 0, so that few cases cannot make it worse on themselves than that.

    Args:
        width: channels of the network.
        pull: weight of the mean square of f, nats.
    """

    spatial = True
    steps = 40

    def __init__(self, width: int = 8, pull: float = 1e-3) -> None:
        super().__init__()
        if width < 1 or pull < 0:
            raise ProbsegError(
                "E_SCHEMA", f"width of LocalTemperature must be at least 1 and pull at least 0, but are {width}, {pull}"
            )
        self.width = width
        self.pull = pull

    def prepare(self, sizes: Sizes) -> None:
        """T = 1 everywhere."""
        conv = nn.Conv2d if sizes.dimensions == 2 else nn.Conv3d
        inputs, generator = sizes.classes + sizes.channels, torch.Generator().manual_seed(0)
        self.common = nn.Parameter(torch.zeros(()))
        self.network = nn.Sequential(
            conv(inputs, self.width, 3, padding=1, padding_mode="replicate"),
            nn.SiLU(),
            conv(self.width, self.width, 3, padding=1, padding_mode="replicate"),
            nn.SiLU(),
            conv(self.width, 1, 1),
        )
        for parameter in self.network.parameters():  # the same start whatever else drew random numbers
            fan = parameter[0].numel() if parameter.ndim > 1 else 0
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5 if fan else 0 * parameter)
        nn.init.zeros_(self.network[-1].weight)  # type: ignore[arg-type]

    def fit(self, sample: CalibrationSample) -> None:
        """The common temperature first, then all of it."""
        self._minimise(sample, [self.common])
        self._minimise(sample, list(self.parameters()))

    def penalty(self, sample: CalibrationSample) -> Tensor:
        """The mean square of f over what it is fitted on."""
        features = self._features(sample.distribution, sample.image)
        return self.pull * self.network(features).square().mean()

    def _features(self, distribution: SegmentationDistribution, image: Tensor) -> Tensor:
        mean = distribution.logits.mean(dim=(0, 1))  # (batch, classes, *space)
        centred = mean - mean.mean(dim=1, keepdim=True)
        return torch.cat([torch.tanh(centred / 4), image.to(centred)], dim=1)

    def log_temperature(self, distribution: SegmentationDistribution, image: Tensor) -> Tensor:
        """``(batch, 1, *space)``: log T(x)."""
        return self.common + _SPAN * torch.tanh(self.network(self._features(distribution, image)) / _SPAN)

    def forward(self, distribution: SegmentationDistribution, image: Tensor) -> SegmentationDistribution:
        """Logits divided by T(x)."""
        return SegmentationDistribution(distribution.logits * (-self.log_temperature(distribution, image)).exp())
