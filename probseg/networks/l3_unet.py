"""The U-Net of the COVID-19 opacity study, layer by layer, so that its published weights fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probseg.errors import ProbsegError

__all__ = ["L3UNet"]

# The study's network saw (HU - mean) / deviation.
_MEAN_HU, _DEVIATION_HU = -653.2204, 628.5188


class _DoubleConv(nn.Module):
    """Two 3 x 3 convolutions, each with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (inputs, outputs):
            layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        if dropout > 0:
            layers.append(nn.Dropout2d(dropout))
        self.double_conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.double_conv(x))


class _Down(nn.Module):
    """Half the resolution, then two convolutions."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), _DoubleConv(inputs, outputs, dropout))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.maxpool_conv(x))


class _Up(nn.Module):
    """Twice the resolution, padded to that of the skip, then two convolutions of both."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.conv = _DoubleConv(inputs, outputs, dropout)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        up = F.interpolate(below, scale_factor=2.0, mode="bilinear", align_corners=True)
        rows, columns = skip.shape[2] - up.shape[2], skip.shape[3] - up.shape[3]  # 0 or 1
        up = F.pad(up, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return cast(Tensor, self.conv(torch.cat([skip, up], dim=1)))


class _Head(nn.Module):
    """A 1 x 1 convolution under the name it has in the study's checkpoints."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(x))


class L3UNet(nn.Module):
    """The 2-D U-Net with which opacities of COVID-19 were segmented (Lensink et al. 2020, arXiv:2007.03643).

    Its weights bear the names of the study's checkpoints (``inc``, ``down1`` to ``down4``, ``up1`` to ``up4``,
    ``outc``), so that ``--model.init_args.warm_start=FILE`` starts from a published one; a head for other classes
    starts anew. It works at the image's full resolution and has 13 million weights: on a processor
    `probseg.networks.UNet` is many times faster.

    Args:
        in_channels: channels of the image.
        num_classes: channels of the logits, background included.
        channels: width of each level, top first; the study's by default.
        window_hu: the window of the dataset, when images are to be turned from its 0..1 to the numbers that the study's
            network saw, (HU + 653.2204) / 628.5188, as published weights need; -1000 and 350 were the study's bounds
            in its third phase, -1000 and 50 in its first. None leaves images as they are.
        dropout: probability of dropping a channel, at the two deepest levels and in the decoder; the study's is 0.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 5,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        window_hu: tuple[float, float] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if num_classes < 2 or len(channels) < 2 or (window_hu is not None and window_hu[0] >= window_hu[1]):
            raise ProbsegError(
                "E_SCHEMA",
                "an L3UNet needs num_classes >= 2, two levels of channels and a window_hu that rises, but got "
                f"{num_classes}, {list(channels)} and {window_hu}",
            )
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dimensions = 2
        self.feature_channels = channels[0]
        self.window_hu = window_hu
        self.depth = len(channels) - 1
        self.inc = _DoubleConv(in_channels, channels[0], 0.0)
        for k in range(1, self.depth + 1):
            deep = dropout if k >= self.depth - 1 else 0.0
            self.add_module(f"down{k}", _Down(channels[k - 1], channels[k], deep))
        below = channels[-1]
        for k in range(1, self.depth + 1):
            skip, outputs = channels[self.depth - k], channels[max(self.depth - k - 1, 0)]
            self.add_module(f"up{k}", _Up(skip + below, outputs, dropout))
            below = outputs
        self.outc = _Head(channels[0], num_classes)
        self.reset_parameters()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start the biases before batch norm at 0: it cancels them, and checkpoints of later layouts have none."""
        for module in self.modules():
            if isinstance(module, _DoubleConv):
                for layer in module.double_conv:
                    if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                        layer.bias.zero_()

    def features(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, rows, columns)`` to ``(batch, feature_channels, rows, columns)``."""
        least = 2**self.depth
        if image.ndim != 4 or image.shape[1] != self.in_channels or min(image.shape[2:]) < least:
            raise ProbsegError(
                "E_SHAPE_MISMATCH",
                f"this L3UNet cannot take images of shape {tuple(image.shape)}, but (batch, {self.in_channels}, rows, "
                f"columns) with at least {least} of each; set its in_channels, data.slices or data.crop",
            )
        x = image.contiguous(memory_format=torch.channels_last)
        if self.window_hu is not None:
            low, high = self.window_hu
            x = x * ((high - low) / _DEVIATION_HU) + (low - _MEAN_HU) / _DEVIATION_HU
        skips = [self.inc(x)]
        for k in range(1, self.depth + 1):
            skips.append(self.get_submodule(f"down{k}")(skips[-1]))
        x = skips.pop()
        for k in range(1, self.depth + 1):
            x = self.get_submodule(f"up{k}")(x, skips.pop())
        return x

    def head(self, features: Tensor, space: tuple[int, ...]) -> Tensor:
        """Features to logits ``(batch, num_classes, rows, columns)``."""
        return cast(Tensor, self.outc(features))

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, rows, columns)`` to logits ``(batch, num_classes, rows, columns)``."""
        return self.head(self.features(image), tuple(image.shape[2:]))
