"""What one level of a U-Net does: two 3 x 3 convolutions with normalisation, plain or around a shortcut."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probseg.networks.normalised import normalised
from probseg.networks.upsampling import JoiningConv2d, JoiningConv3d

__all__ = ["BLOCKS", "CONV", "NORMS", "POOL", "PlainBlock", "ResidualBlock", "channels_last"]

CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
POOL: dict[int, type[nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_JOINING: dict[int, type[nn.Module]] = {2: JoiningConv2d, 3: JoiningConv3d}
_DROPOUT: dict[int, type[nn.Module]] = {2: nn.Dropout2d, 3: nn.Dropout3d}


def _batch_norm(dimensions: int, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if dimensions == 2 else nn.BatchNorm3d(channels)


def _instance_norm(dimensions: int, channels: int) -> nn.Module:
    # one channel a group is the same sum, keeps channels_last, and takes a level of a single position
    return nn.GroupNorm(channels, channels)


def _group_norm(dimensions: int, channels: int) -> nn.Module:
    return nn.GroupNorm(math.gcd(8, channels), channels)


NORMS: dict[str, Callable[[int, int], nn.Module]] = {
    "batch": _batch_norm,
    "instance": _instance_norm,
    "group": _group_norm,
}


def channels_last(dimensions: int) -> torch.memory_format:
    """The memory format in which convolutions of so many dimensions need no reordering."""
    return torch.channels_last if dimensions == 2 else torch.channels_last_3d


class PlainBlock(nn.Sequential):
    """Two 3 x 3 convolutions, each with normalisation and ReLU, then channel dropout where asked.

    Args:
        inputs: channels of what comes in; of skip and ``below`` together where it joins.
        outputs: channels of what goes out.
        dimensions: 2 or 3.
        dropout: probability of dropping a channel at the end.
        norm: ``batch``, ``instance``, or ``group`` (eight groups where the channels allow).
        joins: whether it is called with a skip and what lies below it.
    """

    def __init__(
        self, inputs: int, outputs: int, dimensions: int, dropout: float, norm: str = "batch", joins: bool = False
    ) -> None:
        conv, joining, normalise = CONV[dimensions], _JOINING[dimensions], NORMS[norm]
        layers: list[nn.Module] = []
        for make, width in ((joining if joins else conv, inputs), (conv, outputs)):
            layers += [
                make(width, outputs, 3, padding=1, bias=False),
                normalise(dimensions, outputs),
                nn.ReLU(inplace=True),
            ]
        if dropout > 0:
            layers.append(_DROPOUT[dimensions](dropout))
        super().__init__(*layers)

    def forward(self, x: Tensor, below: Tensor | None = None) -> Tensor:
        """``(batch, inputs, *space)``, or a skip and what is ``below`` it at half the resolution, to ``outputs``."""
        first, first_norm, first_relu, second, second_norm, *others = self
        x = first_relu(normalised(first, first_norm, *((x,) if below is None else (below, x))))
        x = normalised(second, second_norm, x)
        for layer in others:
            x = layer(x)
        return x


class ResidualBlock(nn.Module):
    """`PlainBlock` around a shortcut: its second ReLU sees the sum of both (He et al. 2016, arXiv:1512.03385).

    Where widths differ the shortcut is a 1 x 1 convolution with normalisation, else what came in.

    Args:
        inputs, outputs, dimensions, dropout, norm, joins: as in `PlainBlock`.
    """

    def __init__(
        self, inputs: int, outputs: int, dimensions: int, dropout: float, norm: str = "batch", joins: bool = False
    ) -> None:
        super().__init__()
        conv, joining, normalise = CONV[dimensions], _JOINING[dimensions], NORMS[norm]
        self.conv1 = (joining if joins else conv)(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = normalise(dimensions, outputs)
        self.conv2 = conv(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = normalise(dimensions, outputs)
        self.shortcut = (
            nn.Identity()
            if inputs == outputs and not joins
            else nn.Sequential(conv(inputs, outputs, 1, bias=False), normalise(dimensions, outputs))
        )
        self.dropout = _DROPOUT[dimensions](dropout) if dropout > 0 else nn.Identity()

    def forward(self, x: Tensor, below: Tensor | None = None) -> Tensor:
        """As `PlainBlock`."""
        changed = normalised(self.conv1, self.norm1, *((x,) if below is None else (below, x)))
        changed = normalised(self.conv2, self.norm2, F.relu(changed, inplace=True))
        if below is not None:
            x = torch.cat([F.interpolate(below, scale_factor=2.0, mode="nearest"), x], dim=1)
        out: Tensor = self.dropout(F.relu(changed + self.shortcut(x), inplace=True))
        return out


BLOCKS: dict[str, Callable[..., nn.Module]] = {"plain": PlainBlock, "residual": ResidualBlock}
