"""Random changes of a training example; image and all raters' masks move together, masks stay integers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from probseg.batch import Example
from probseg.errors import ProbsegError

__all__ = ["FlipAndTurn", "Intensity", "Transform", "Zoom"]


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


class Transform(ABC):
    """A random change of one example, drawn from torch's global random numbers."""

    @abstractmethod
    def __call__(self, example: Example) -> Example:
        """The changed example, of the same shape."""


class FlipAndTurn(Transform):
    """Mirror each in-plane axis with probability 1/2; square images are also turned by quarter turns."""

    def __call__(self, example: Example) -> Example:
        """Flip rows and columns, then transpose, each by a coin."""
        coins = torch.rand(3) < 0.5
        axes = [axis for axis, coin in zip((-2, -1), coins, strict=False) if coin]
        square = example.image.shape[-1] == example.image.shape[-2]

        def change(x: Tensor) -> Tensor:
            x = x.flip(axes) if axes else x
            return x.transpose(-1, -2) if square and coins[2] else x

        return replace(example, image=change(example.image), masks=change(example.masks), rated=change(example.rated))


class Zoom(Transform):
    """Scale, turn and shift in the plane by one affine map, linear for the image and nearest for the masks.

    What comes from outside is mirrored in the image and not rated in the masks.

    Args:
        scale: the largest factor; a factor is drawn log-uniformly between 1/scale and scale.
        angle: largest turn in degrees.
        shift: largest shift as a share of the image.
        probability: of changing an example at all.
    """

    def __init__(self, scale: float = 1.3, angle: float = 30.0, shift: float = 0.05, probability: float = 1.0) -> None:
        if scale < 1:
            raise ProbsegError(
                "E_SCHEMA", f"scale of Zoom is the largest factor and must be at least 1, but is {scale}"
            )
        self.scale = scale
        self.angle = angle
        self.shift = shift
        self.probability = probability

    def __call__(self, example: Example) -> Example:
        """Resample image, masks and rated on the same changed grid."""
        if float(torch.rand(())) >= self.probability:
            return example
        spread = math.log(self.scale)
        factor = math.exp(_uniform(-spread, spread))
        angle = math.radians(_uniform(-self.angle, self.angle))
        rows, columns = example.image.shape[-2:]
        c, s = math.cos(angle) / factor, math.sin(angle) / factor
        theta = torch.tensor(
            [
                [c, -s * rows / columns, _uniform(-self.shift, self.shift)],
                [s * columns / rows, c, _uniform(-self.shift, self.shift)],
            ]
        )
        image = example.image.reshape(1, -1, rows, columns)
        grid = F.affine_grid(theta[None], list(image.shape), align_corners=False)
        moved = F.grid_sample(image, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        labels = torch.cat([example.masks, example.rated.to(torch.uint8)]).reshape(1, -1, rows, columns).float()
        placed = F.grid_sample(labels, grid, mode="nearest", padding_mode="zeros", align_corners=False)
        masks, rated = placed.round().to(torch.uint8).reshape(2, *example.masks.shape)
        return replace(example, image=moved.reshape(example.image.shape), masks=masks, rated=rated.bool())


class Intensity(Transform):
    """Change brightness and contrast, as scanners and kernels do.

    Args:
        contrast: standard deviation of the log of the factor, about the image's middle value 0.5.
        brightness: standard deviation of the offset, as a share of the window.
        noise: largest standard deviation of added noise, as a share of the window.
    """

    def __init__(self, contrast: float = 0.15, brightness: float = 0.05, noise: float = 0.02) -> None:
        self.contrast = contrast
        self.brightness = brightness
        self.noise = noise

    def __call__(self, example: Example) -> Example:
        """Scale, shift and add noise; the image stays within 0..1."""
        factor, offset, level = [*torch.randn(2).tolist(), float(torch.rand(()))]
        image = (example.image - 0.5) * math.exp(self.contrast * factor) + 0.5 + self.brightness * offset
        image = image + self.noise * level * torch.randn_like(image)
        return replace(example, image=image.clamp(0, 1))
