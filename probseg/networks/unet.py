"""A U-Net made for two cores as well as for a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probseg.errors import ProbsegError
from probseg.networks.folding import fold, pad_to_multiple, unfold

__all__ = ["UNet"]

_CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_DROPOUT: dict[int, type[nn.Module]] = {2: nn.Dropout2d, 3: nn.Dropout3d}
_POOL: dict[int, type[nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class _Level(nn.Sequential):
    """Two 3 x 3 convolutions, each with batch norm and ReLU, then channel dropout where asked."""

    def __init__(self, inputs: int, outputs: int, dimensions: int, dropout: float) -> None:
        conv, norm = _CONV[dimensions], _NORM[dimensions]
        layers: list[nn.Module] = []
        for first, second in ((inputs, outputs), (outputs, outputs)):
            layers += [conv(first, second, 3, padding=1, bias=False), norm(second), nn.ReLU(inplace=True)]
        if dropout > 0:
            layers.append(_DROPOUT[dimensions](dropout))
        super().__init__(*layers)


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28) on a folded image.

    The image is folded: each ``fold`` x ``fold`` patch becomes channels of one position, so that the costly first
    level runs at a fraction of the resolution, and logits are unfolded again at the end. Sizes that do not fit are
    padded and cropped.

    Args:
        in_channels: channels of the image.
        num_classes: channels of the logits, background included.
        channels: width of each level, top first.
        dimensions: 2 or 3.
        fold: how many pixels along each axis share a position; 1 for none.
        dropout: probability of dropping a channel, at the two deepest levels and in the decoder.
        foreground: expected share of foreground, from which the head's bias starts; spares the first epoch.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 2,
        channels: Sequence[int] = (24, 48, 72, 96),
        dimensions: int = 2,
        fold: int = 2,
        dropout: float = 0.0,
        foreground: float = 0.03,
    ) -> None:
        super().__init__()
        if dimensions not in _CONV:
            raise ProbsegError("E_SCHEMA", f"dimensions of a UNet must be 2 or 3, but is {dimensions}")
        if num_classes < 2 or not 0 < foreground < 1 or len(channels) < 2:
            raise ProbsegError(
                "E_SCHEMA",
                "a UNet needs num_classes >= 2, 0 < foreground < 1 and two levels of channels, but got "
                f"{num_classes}, {foreground} and {list(channels)}",
            )
        patch = fold**dimensions
        self.fold = fold
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dimensions = dimensions
        self.feature_channels = channels[0]
        self.pyramid_channels = tuple(reversed(channels))
        self.multiple = fold * 2 ** (len(channels) - 1)
        inputs = [in_channels * patch, *channels[:-1]]
        deep = len(channels) - 2
        self.down = nn.ModuleList(
            _Level(i, c, dimensions, dropout if k >= deep else 0.0)
            for k, (i, c) in enumerate(zip(inputs, channels, strict=True))
        )
        self.pool = _POOL[dimensions](2)
        skips = list(reversed(channels[:-1]))
        below = [channels[-1], *skips[:-1]]
        self.up = nn.ModuleList(_Level(b + s, s, dimensions, dropout) for b, s in zip(below, skips, strict=True))
        self.classify = _CONV[dimensions](channels[0], num_classes * patch, 1)
        self.in_channels = in_channels
        self.dimensions = dimensions
        self.foreground = foreground
        self.reset_parameters()
        if dimensions == 2:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start the head at the expected shares of background and foreground; the other layers start as torch's do."""
        patch = self.fold**self.dimensions
        bias = torch.full((self.num_classes, patch), math.log(self.foreground / (self.num_classes - 1)))
        bias[0] = math.log(1 - self.foreground)
        self.classify.bias.copy_(bias.flatten())  # type: ignore[operator]  # Conv has a bias

    def features(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, feature_channels, *padded space / fold)``."""
        return self.pyramid(image)[-1]

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """The features of every level of the decoder, coarse first; the last are those of ``features``."""
        if image.ndim != self.dimensions + 2 or image.shape[1] != self.in_channels:
            raise ProbsegError(
                "E_SHAPE_MISMATCH",
                f"a UNet of {self.dimensions} dimensions and {self.in_channels} channels cannot take images of shape "
                f"{tuple(image.shape)}, (batch, channels, *space); set its dimensions and in_channels, or data.slices",
            )
        x = fold(pad_to_multiple(image, self.multiple), self.fold)
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for k, level in enumerate(self.down):
            x = level(x if k == 0 else self.pool(x))
            skips.append(x)
        levels = [skips.pop()]
        for level in self.up:
            x = F.interpolate(levels[-1], scale_factor=2.0, mode="nearest")
            levels.append(level(torch.cat([x, skips.pop()], dim=1)))
        return levels

    def head(self, features: Tensor, space: tuple[int, ...]) -> Tensor:
        """Features to logits ``(batch, num_classes, *space)``."""
        logits = unfold(self.classify(features), self.fold)
        return logits[(slice(None), slice(None), *(slice(0, n) for n in space))]

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to logits ``(batch, num_classes, *space)``."""
        return self.head(self.features(image), tuple(image.shape[2:]))
