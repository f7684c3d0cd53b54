"""A U-Net made for two cores as well as for a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from probseg.errors import ProbsegError
from probseg.networks.blocks import BLOCKS, CONV, NORMS, POOL, channels_last
from probseg.networks.folding import fold, pad_to_multiple, unfold
from probseg.networks.heads import expected_logits

__all__ = ["UNet"]


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28) on a folded image.

    The image is folded: each ``fold`` x ``fold`` patch becomes channels of one position, so that the costly first
    level runs at a fraction of the resolution, and logits are unfolded again at the end. Sizes that do not fit are
    padded and cropped. Below the decoder's finest level features are upsampled by nearest neighbour.

    Args:
        in_channels: channels of the image.
        num_classes: channels of the logits, background included.
        channels: width of each level, top first.
        dimensions: 2 or 3.
        fold: how many pixels along each axis share a position; 1 for none.
        dropout: probability of dropping a channel, at the two deepest levels and in the decoder.
        foreground: expected share of foreground, from which the head's bias starts; spares the first epoch.
        block: ``plain`` or ``residual``.
        norm: ``batch``; ``instance`` or ``group`` where batches are small.
        deep_supervision: whether coarser levels of the decoder have heads of their own, see `DeepNetwork`; these are
            used in training only.
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
        block: Literal["plain", "residual"] = "plain",
        norm: Literal["batch", "instance", "group"] = "batch",
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        if dimensions not in CONV:
            raise ProbsegError("E_SCHEMA", f"dimensions of a UNet must be 2 or 3, but is {dimensions}")
        if num_classes < 2 or not 0 < foreground < 1 or len(channels) < 2:
            raise ProbsegError(
                "E_SCHEMA",
                "a UNet needs num_classes >= 2, 0 < foreground < 1 and two levels of channels, but got "
                f"{num_classes}, {foreground} and {list(channels)}",
            )
        if block not in BLOCKS or norm not in NORMS:
            raise ProbsegError(
                "E_SCHEMA",
                f"the block of a UNet is {' or '.join(BLOCKS)} and its norm {', '.join(NORMS)}, but they are "
                f"'{block}' and '{norm}'",
            )
        self.fold = fold
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.dimensions = dimensions
        self.feature_channels = channels[0]
        self.pyramid_channels = tuple(reversed(channels))
        self.multiple = fold * 2 ** (len(channels) - 1)
        self.foreground = foreground
        self.deep_supervision = deep_supervision
        make = BLOCKS[block]
        inputs = [in_channels * fold**dimensions, *channels[:-1]]
        deep = len(channels) - 2
        self.down = nn.ModuleList(
            make(i, c, dimensions, dropout if k >= deep else 0.0, norm)
            for k, (i, c) in enumerate(zip(inputs, channels, strict=True))
        )
        self.pool = POOL[dimensions](2)
        skips = list(reversed(channels[:-1]))
        below = [channels[-1], *skips[:-1]]
        self.up = nn.ModuleList(
            make(b + s, s, dimensions, dropout, norm, joins=True) for b, s in zip(below, skips, strict=True)
        )
        self.classify = self._make_head(channels[0])
        coarser = channels[1:-1] if deep_supervision else ()
        self.classify_coarser = nn.ModuleList(self._make_head(c) for c in coarser)  # finest first
        self.reset_parameters()
        self.to(memory_format=channels_last(dimensions))  # type: ignore[call-overload]  # missing in torch's stubs

    def _make_head(self, channels: int) -> nn.Module:
        return CONV[self.dimensions](channels, self.num_classes * self.fold**self.dimensions, 1)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start every head at the expected shares of background and foreground; the other layers start as torch's do.

        All voxels that share a position start alike, or a grid would show (ICNR, Aitken et al. 2017,
        arXiv:1707.02937).
        """
        patch = self.fold**self.dimensions
        start = expected_logits(self.num_classes, self.foreground).repeat_interleave(patch)
        for head in (self.classify, *self.classify_coarser):
            weight, bias = head.get_parameter("weight"), head.get_parameter("bias")
            weight.copy_(weight[::patch].repeat_interleave(patch, dim=0))
            bias.copy_(start)

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
        x = x.contiguous(memory_format=channels_last(self.dimensions))
        skips = []
        for k, level in enumerate(self.down):
            x = level(x if k == 0 else self.pool(x))
            skips.append(x)
        levels = [skips.pop()]
        for level in self.up:
            levels.append(level(skips.pop(), below=levels[-1]))
        return levels

    def head(self, features: Tensor, space: tuple[int, ...]) -> Tensor:
        """Features to logits ``(batch, num_classes, *space)``."""
        return self.to_voxels(self.classify(features), space)

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to logits ``(batch, num_classes, *space)``."""
        return self.head(self.features(image), tuple(image.shape[2:]))

    def deep_logits(self, image: Tensor) -> list[Tensor]:
        """Logits of the decoder's levels, finest first, see `DeepNetwork`; one only without deep supervision."""
        levels = self.pyramid(image)
        space = tuple(image.shape[2:])
        logits = [self.head(levels[-1], space)]
        for k, head in enumerate(self.classify_coarser, start=1):
            logits.append(self.to_voxels(head(levels[-1 - k]), tuple(-(-n // 2**k) for n in space)))
        return logits

    def to_voxels(self, logits: Tensor, space: tuple[int, ...]) -> Tensor:
        """One position of logits to its voxels, cropped to the size of the image."""
        return unfold(logits, self.fold)[(slice(None), slice(None), *(slice(0, n) for n in space))]
