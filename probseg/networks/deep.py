"""Deep supervision: labels for the coarser levels of a decoder, and what each level weighs."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["coarsened", "level_weights"]


def coarsened(x: Tensor, level: int, dimensions: int) -> Tensor:
    """Labels at the resolution of a decoder level: of each block of ``2**level`` voxels an axis, the one in its middle.

    Labels are picked, never averaged, so that groups, unknown and unrated voxels stay what they are.

    Args:
        x: ``(..., *space)`` of any type.
        level: 0 for the image's own resolution, which gives ``x`` itself.
        dimensions: axes of space, 2 or 3.

    Returns:
        ``(..., *ceil(space / 2**level))``.
    """
    if level == 0:
        return x
    step = 2**level
    for axis in range(x.ndim - dimensions, x.ndim):
        size = x.shape[axis]
        middles = torch.arange(step // 2, size + step // 2, step, device=x.device)
        x = x.index_select(axis, middles.clamp(max=size - 1))
    return x


def level_weights(levels: int) -> tuple[float, ...]:
    """The weight of each level's loss, finest first: halved from level to level and summing to 1.

    Isensee et al. (2021), doi:10.1038/s41592-020-01008-z.

    >>> level_weights(2)
    (0.6666666666666666, 0.3333333333333333)
    """
    total = 2 - 0.5 ** (levels - 1)
    return tuple(0.5**k / total for k in range(levels))
