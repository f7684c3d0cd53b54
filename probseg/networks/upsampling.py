"""The convolution with which a decoder level begins: of what lies below, at twice its resolution, and of the skip."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["JoiningConv2d", "JoiningConv3d", "spread"]


def spread(weight: Tensor) -> Tensor:
    """Weights of the transposed convolution that does at once what upsampling and a 3 x 3 convolution do.

    Nearest-neighbour upsampling by 2 repeats each voxel, so that the three weights (a, b, c) of an axis meet it as
    (c, b + c, a + b, a) around it: a transposed convolution of stride 2 and padding 1 with these four. It costs 4/9 of
    the multiplications in 2-D and 8/27 in 3-D, and the upsampled features are never held (Shi et al. 2016,
    arXiv:1609.07009, show the equality of such convolutions).

    Args:
        weight: ``(outputs, inputs, 3, 3)`` or ``(outputs, inputs, 3, 3, 3)``.

    Returns:
        ``(inputs, outputs, 4, 4)`` or ``(inputs, outputs, 4, 4, 4)``, as a transposed convolution wants it.
    """
    for axis in range(2, weight.ndim):
        a, b, c = weight.unbind(axis)
        weight = torch.stack([c, b + c, a + b, a], axis)
    return weight.transpose(0, 1)


class JoiningConv2d(nn.Conv2d):
    """A 3 x 3 convolution of ``cat([upsampled below, skip])`` that makes neither; its weights are those of `Conv2d`."""

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]  # two inputs are the point
        """``(batch, b, *space / 2)`` and ``(batch, s, *space)`` to ``(batch, out_channels, *space)``."""
        return self.joined(below, skip, self.weight, self.bias)

    @staticmethod
    def joined(below: Tensor, skip: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same with other weights."""
        own = below.shape[1]
        joined = F.conv_transpose2d(below, spread(weight[:, :own]), bias, stride=2, padding=1)
        return joined.add_(F.conv2d(skip, weight[:, own:], padding=1))


class JoiningConv3d(nn.Conv3d):
    """`JoiningConv2d` in three dimensions."""

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]  # two inputs are the point
        """``(batch, b, *space / 2)`` and ``(batch, s, *space)`` to ``(batch, out_channels, *space)``."""
        return self.joined(below, skip, self.weight, self.bias)

    @staticmethod
    def joined(below: Tensor, skip: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same with other weights."""
        own = below.shape[1]
        joined = F.conv_transpose3d(below, spread(weight[:, :own]), bias, stride=2, padding=1)
        return joined.add_(F.conv3d(skip, weight[:, own:], padding=1))
