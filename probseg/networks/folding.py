"""Space into channels and back, and the padding that makes sizes fit."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["fold", "pad_to_multiple", "unfold"]


def fold(x: Tensor, factor: int) -> Tensor:
    """``(batch, channels, *space)`` to ``(batch, channels * factor**n, *space / factor)``; pixel unshuffle."""
    if factor == 1:
        return x
    if x.ndim == 4:
        return F.pixel_unshuffle(x, factor)
    b, c, d, h, w = x.shape
    x = x.reshape(b, c, d // factor, factor, h // factor, factor, w // factor, factor)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * factor**3, d // factor, h // factor, w // factor)


def unfold(x: Tensor, factor: int) -> Tensor:
    """The inverse of `fold`."""
    if factor == 1:
        return x
    if x.ndim == 4:
        return F.pixel_shuffle(x, factor)
    b, c, d, h, w = x.shape
    x = x.reshape(b, c // factor**3, factor, factor, factor, d, h, w)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, -1, d * factor, h * factor, w * factor)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last voxels of each axis of space until its length is a multiple."""
    pads = [-size % multiple for size in x.shape[2:]]
    if not any(pads):
        return x
    amounts = [amount for pad in reversed(pads) for amount in (0, pad)]
    if torch.is_floating_point(x):
        return F.pad(x, amounts, mode="replicate")
    return F.pad(x, amounts)
