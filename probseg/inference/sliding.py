"""A whole scan through a network: slice by slice, or by overlapping windows whose probabilities are blended."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError

__all__ = ["Predict", "Slab", "slice_by_slice", "sliding_window"]

Predict = Callable[[Tensor], SegmentationDistribution]
"""Images ``(batch, channels, *space)`` to their distribution; the same draws at every call."""

Slab = tuple[slice, SegmentationDistribution]
"""Which slices, and their distribution with the slices along its batch axis and space ``(rows, columns)``."""

_SIGMA = 0.125  # of the window's length, as in nnU-Net and MONAI
_LEAST_WEIGHT = 1e-3  # a voxel that only the corner of one window sees still has a weight to divide by


def slice_by_slice(image: Tensor, predict: Predict, batch_size: int = 1) -> Iterator[Slab]:
    """Predict the slices of a volume with a 2-D network.

    Args:
        image: ``(channels, slices, rows, columns)``.
        predict: the network.
        batch_size: slices a call.

    Yields:
        Consecutive slabs of at most ``batch_size`` slices.
    """
    for start in range(0, image.shape[1], batch_size):
        part = slice(start, min(start + batch_size, image.shape[1]))
        yield part, predict(image[:, part].transpose(0, 1))


def sliding_window(
    image: Tensor, predict: Predict, window: Sequence[int], overlap: float = 0.25, batch_size: int = 1
) -> Iterator[Slab]:
    """Predict a volume with a 3-D network in overlapping windows.

    What is blended are the probabilities of each draw, by Gaussian weights that sum to 1 at every voxel. All else
    (maps, readings, volumes) is then computed from these, so that all of it belongs to one and the same distribution
    and its laws hold; blending logits or finished maps would break them. Windows are taken from the first slice to
    the last, and slices that no later window reaches are given out at once: the memory is that of the draws'
    probabilities in one window's depth of whole slices, whatever the number of slices.

    Args:
        image: ``(channels, slices, rows, columns)``; an axis shorter than the window is padded by its last voxels.
        predict: the network.
        window: size along each axis of space.
        overlap: share of a window that the next one covers at least, from 0 to below 1.
        batch_size: windows a call.

    Yields:
        Slices in order, one at a time.
    """
    if not 0 <= overlap < 1 or len(window) != 3 or min(window) < 1 or batch_size < 1:
        raise ProbsegError(
            "E_ARGUMENT",
            "a window needs three positive sizes, an overlap from 0 to below 1 and a batch size of at least 1, but they"
            f" are {tuple(window)}, {overlap} and {batch_size}",
        )
    space = tuple(image.shape[1:])
    padded = _pad(image, window)
    starts = [_starts(size, length, overlap) for size, length in zip(padded.shape[1:], window, strict=True)]
    weights = [_weights(s, length) for s, length in zip(starts, window, strict=True)]
    planes = list(product(range(len(starts[1])), range(len(starts[2]))))
    carried: Tensor | None = None
    for z, first in enumerate(starts[0]):
        buffer: Tensor | None = None
        for k in range(0, len(planes), batch_size):
            chosen = planes[k : k + batch_size]
            corners = [(first, starts[1][y], starts[2][x]) for y, x in chosen]
            probs = predict(torch.stack([padded[_box(c, window)] for c in corners])).probs
            if buffer is None:  # (models, readings, classes, depth, rows, columns)
                buffer = probs.new_zeros((*probs.shape[:2], probs.shape[3], window[0], *padded.shape[2:]))
            for j, (y, x) in enumerate(chosen):
                weight = weights[0][z][:, None, None] * weights[1][y][:, None] * weights[2][x]
                _, _, rows, columns = _box(corners[j], window)
                buffer[..., rows, columns] += probs[:, :, j] * weight.to(probs)
            del probs
        assert buffer is not None  # there is at least one window
        if carried is not None:
            buffer[:, :, :, : carried.shape[3]] += carried
        after = starts[0][z + 1] if z + 1 < len(starts[0]) else padded.shape[1]
        yield from _give_out(buffer, first, min(after, space[0]), space)
        carried = buffer[:, :, :, after - first :]


def _give_out(buffer: Tensor, first: int, end: int, space: tuple[int, ...]) -> Iterator[Slab]:
    """Finished slices ``first`` to ``end``, without the padding, one by one."""
    tiny = torch.finfo(buffer.dtype).tiny
    for k in range(first, end):
        probs = buffer[:, :, None, :, k - first, : space[1], : space[2]]
        yield slice(k, k + 1), SegmentationDistribution(probs.clamp(min=tiny).log())


def _pad(image: Tensor, window: Sequence[int]) -> Tensor:
    for axis, length in enumerate(window, start=1):
        size = image.shape[axis]
        if size < length:  # torch's own padding knows no integers
            image = image.index_select(axis, torch.arange(length, device=image.device).clamp(max=size - 1))
    return image


def _starts(size: int, length: int, overlap: float) -> list[int]:
    """First voxels of windows that cover the axis and overlap by at least ``overlap``, placed as MONAI places them."""
    step = max(1, int(length * (1 - overlap)))
    count = math.ceil((size - length) / step) + 1
    return [min(k * step, size - length) for k in range(count)]


def _weights(starts: Sequence[int], length: int) -> list[Tensor]:
    """For each window of one axis, ``(length,)`` weights; those of all windows at a voxel sum to 1.

    The Gaussian is a product over axes and windows lie on a grid, so what each axis sums to can be divided out alone.
    """
    centred = torch.arange(length, dtype=torch.float64) - (length - 1) / 2
    bell = torch.exp(-0.5 * (centred / (_SIGMA * length)) ** 2).clamp(min=_LEAST_WEIGHT)
    total = torch.zeros(starts[-1] + length, dtype=torch.float64)
    for start in starts:
        total[start : start + length] += bell
    return [bell / total[start : start + length] for start in starts]


def _box(corner: Sequence[int], window: Sequence[int]) -> tuple[slice, ...]:
    return (slice(None), *(slice(c, c + n) for c, n in zip(corner, window, strict=True)))
