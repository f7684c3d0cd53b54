"""The default U-Net as one writes it down: upsample, concatenate, convolve."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PlainUNet"]


def _level(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class PlainUNet(nn.Module):
    """The same function as ``probseg.networks.UNet(1, 2, channels)``, weights of the same names included."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList(_level(i, c) for i, c in zip([4, *channels], channels, strict=False))
        pairs = list(zip(channels[::-1], channels[-2::-1], strict=False))
        self.up = nn.ModuleList(_level(below + skip, skip) for below, skip in pairs)
        self.classify = nn.Conv2d(channels[0], 8, 1)

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 1, rows, columns)`` to logits ``(batch, 2, rows, columns)``; sizes that fit."""
        x = F.pixel_unshuffle(image, 2)
        skips = []
        for k, level in enumerate(self.down):
            x = level(x if k == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        skips.pop()
        for level in self.up:
            x = level(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skips.pop()], dim=1))
        return F.pixel_shuffle(self.classify(x), 2)
