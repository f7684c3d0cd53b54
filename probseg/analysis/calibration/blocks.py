"""Voxels some ten thousand at a time, so that what is made of them stays in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError

__all__ = ["BLOCK", "Voxels", "finite", "not_probable", "trials_of", "voxel_blocks"]

BLOCK = 1 << 16
_STRIDE = 1 << 20  # of a region, so many voxels of space are looked through at once

Voxels = tuple[NDArray, NDArray, NDArray | None]
"""Probabilities ``(classes, n)``, masks ``(raters, n)`` and ``rated`` of the same shape, None for all."""


def voxel_blocks(
    probabilities: NDArray,
    masks: NDArray,
    rated: NDArray | None = None,
    region: NDArray | None = None,
    size: int = BLOCK,
) -> Iterator[Voxels]:
    """The voxels of a region in blocks of at most ``size``; no copy of the whole is made.

    Args:
        probabilities: ``(classes, *space)``.
        masks: ``(raters, *space)`` integer label maps.
        rated: booleans that broadcast to ``masks``, None for everywhere.
        region: ``space`` booleans, None for the whole image.
        size: voxels of a block.

    Raises:
        ProbsegError: E_SHAPE_MISMATCH where the spaces differ.
    """
    space = probabilities.shape[1:]
    if masks.shape[1:] != space or (region is not None and region.shape != space):
        other = masks.shape[1:] if region is None or masks.shape[1:] != space else region.shape
        raise ProbsegError("E_SHAPE_MISMATCH", f"probabilities have the space {space} but masks or region {other}")
    voxels = math.prod(space)  # -1 is refused where there is no rater
    p, y = probabilities.reshape(len(probabilities), voxels), masks.reshape(len(masks), voxels)
    looked = None if rated is None else np.broadcast_to(rated, masks.shape).reshape(len(masks), voxels)
    if region is None or region.all():
        for start in range(0, voxels, size):
            part = slice(start, start + size)
            yield p[:, part], y[:, part], None if looked is None else looked[:, part]
        return
    inside = region.reshape(-1)
    for start in range(0, len(inside), _STRIDE):
        found = np.flatnonzero(inside[start : start + _STRIDE])
        found += start
        for first in range(0, len(found), size):
            chosen = found[first : first + size]
            yield p.take(chosen, 1), y.take(chosen, 1), None if looked is None else looked.take(chosen, 1)


def trials_of(masks: NDArray, rated: NDArray | None, num_classes: int) -> NDArray[np.integer] | int:
    """How many raters named a class at each voxel, ``(n,)``; one number where all did everywhere."""
    signed = np.issubdtype(masks.dtype, np.signedinteger)
    if rated is None and masks.size and masks.max() < num_classes and not (signed and masks.min() < 0):
        return len(masks)
    known = masks < num_classes
    if signed:
        known &= masks >= 0
    if rated is not None:
        known &= rated
    return known.sum(axis=0, dtype=np.min_scalar_type(len(masks)))


def not_probable() -> ProbsegError:
    """E_NONFINITE, to be raised where a probability is NaN, infinite or above 1."""
    return ProbsegError("E_NONFINITE", "some voxels have a probability that is NaN, infinite or above 1")


def finite(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """What was passed; a NaN or an infinity among the probabilities is in every sum of them, and an error here."""
    if not np.isfinite(sums).all():
        raise not_probable()
    return sums
