"""The distinct combinations of votes in an image: a handful, however many voxels there are.

Whatever depends only on who gave which label to a voxel is computed once a combination and weighed by its voxels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from probseg.analysis.region import bounding_box, union_box

__all__ = ["DrawnPatterns", "PatternTable", "Patterns", "drawn_patterns", "looked_up", "pattern_boxes", "vote_patterns"]

# Voxels taken at a time, so that every intermediate array stays in the processor's cache.
_BLOCK = 1 << 16


class Patterns(NamedTuple):
    """Combinations of labels that occur, one a column.

    Attributes:
        labels: ``(raters, combinations)``; ``num_labels`` stands for not rated.
        voxels: ``(combinations,)`` number of voxels with each.
        which: ``space``, the combination of each voxel.
    """

    labels: NDArray[np.intp]
    voxels: NDArray[np.intp]
    which: NDArray[np.unsignedinteger]


class PatternTable(NamedTuple):
    """`Patterns` without the image: all that is left of a case for any figure that does not ask where a voxel lies.

    Attributes:
        labels: ``(parties, combinations)`` dense labels; the number of labels stands for not rated.
        voxels: ``(combinations,)`` number of voxels with each.
    """

    labels: NDArray[np.intp]
    voxels: NDArray[np.intp]


class DrawnPatterns(NamedTuple):
    """Combinations of a whole image, and where each lies within the part in which anybody drew anything.

    Attributes:
        labels: as of `Patterns`.
        voxels: likewise, of the whole image.
        which: the combination of each voxel of the box.
        box: beyond it all is background to everyone who looked; of no size where nobody drew anything.
    """

    labels: NDArray[np.intp]
    voxels: NDArray[np.intp]
    which: NDArray[np.unsignedinteger]
    box: tuple[slice, ...]


def looked_up(table: NDArray, which: NDArray[np.unsignedinteger]) -> NDArray:
    """``table[..., which]``: what ``(..., combinations)`` says of the combination of each voxel, ``(..., *space)``.

    NumPy turns all of an index array into 64-bit numbers at once; block by block they stay in the processor's cache.
    """
    out = np.empty((*table.shape[:-1], *which.shape), dtype=table.dtype)
    # Whole parts of the first axis, because a piece cut out of an image does not lie in one row.
    rows = max(1, _BLOCK // max(1, math.prod(which.shape[1:])))
    for start in range(0, len(which), rows):
        places = which[start : start + rows].astype(np.intp)
        for line in np.ndindex(table.shape[:-1]):
            np.take(table[line], places, out=out[line][start : start + rows], mode="clip")
    return out


def vote_patterns(masks: NDArray, num_labels: int, rated: NDArray | None = None) -> Patterns:
    """Find the distinct columns of ``(raters, *space)`` label maps without sorting the voxels.

    Args:
        masks: ``(raters, *space)`` integers; one outside ``0..num_labels-1`` counts as not rated.
        num_labels: number of labels.
        rated: ``(raters, *space)`` booleans, None for everywhere.

    Returns:
        The combinations in lexical order, the first rater's label first.

    Example:
        >>> found = vote_patterns(np.array([[0, 1, 1, 0], [0, 1, 0, 0]]), 2)
        >>> found.labels.T.tolist(), found.voxels.tolist()
        ([[0, 0], [1, 0], [1, 1]], [2, 1, 1])
    """
    space = masks.shape[1:]
    flat = masks.reshape(len(masks), math.prod(space))
    looked = None if rated is None else np.broadcast_to(rated, masks.shape).reshape(flat.shape)
    # A place for every combination there could be, unless that is many more places than voxels.
    if (num_labels + 1) ** len(masks) <= max(1 << 16, 4 * flat.shape[1]):
        labels, voxels, which = _counted(flat, num_labels, looked)
    else:
        labels, voxels, which = _renumbered(flat, num_labels, looked)
    return Patterns(labels, voxels, which.reshape(space))


def pattern_boxes(which: NDArray[np.unsignedinteger], combinations: int) -> list[tuple[slice, ...] | None]:
    """The smallest box that holds each combination, None where it is nowhere, in one pass over the image."""
    # find_objects looks for numbers from 1, and takes no unsigned ones beyond 8 bits.
    return ndimage.find_objects(which.astype(np.int32) + 1, combinations)


def drawn_patterns(masks: NDArray, num_labels: int, rated: NDArray | None = None) -> DrawnPatterns:
    """The same as `vote_patterns`, looking closely only where anybody drew anything, which most of a scan is not.

    Args:
        masks: ``(raters, *space)`` integers; one outside ``0..num_labels-1`` counts as not rated.
        num_labels: number of labels; 0 is background.
        rated: ``(raters, *space)`` booleans, None for everywhere.
    """
    box = union_box(map(bounding_box, masks)) or (slice(0, 0),) * (masks.ndim - 1)
    found = vote_patterns(masks[:, *box], num_labels, None if rated is None else rated[:, *box])
    if rated is None:
        looked = Patterns(np.zeros((len(masks), 1), np.intp), np.array([math.prod(masks.shape[1:])]), found.which)
        inside = Patterns(looked.labels, np.array([found.which.size]), found.which)
    else:
        looked, inside = (vote_patterns(np.where(r, 0, num_labels), num_labels) for r in (rated, rated[:, *box]))
    labels = np.concatenate([found.labels, looked.labels, inside.labels], axis=1)
    # What the box holds of the combinations that nobody drew anything in is counted already.
    voxels = np.concatenate([found.voxels, looked.voxels, -inside.voxels])
    labels, place = np.unique(labels, axis=1, return_inverse=True)
    total = np.zeros(labels.shape[1], dtype=np.intp)
    np.add.at(total, place, voxels)
    there = total > 0
    column = (np.cumsum(there) - 1)[place[: len(found.voxels)]].astype(np.min_scalar_type(len(total)))
    return DrawnPatterns(labels[:, there], total[there], looked_up(column, found.which), box)


def _labels(mask: NDArray, num_labels: int, rated: NDArray | None) -> NDArray:
    """Labels of some voxels of one rater, with ``num_labels`` for what is not rated."""
    if rated is None and mask.size and mask.min() >= 0 and mask.max() < num_labels:
        return mask
    known = (mask >= 0) & (mask < num_labels)
    return np.where(known if rated is None else known & rated, mask, num_labels)


def _counted(
    masks: NDArray, num_labels: int, rated: NDArray | None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.unsignedinteger]]:
    """Combinations as the digits of a number, counted in a table of all such numbers."""
    raters, n = masks.shape
    base = num_labels + 1
    places = base**raters
    code = np.empty(n, dtype=np.min_scalar_type(places - 1))
    counts = np.zeros(places, dtype=np.intp)
    for start in range(0, n, _BLOCK):
        part = code[start : start + _BLOCK]
        part[:] = 0
        for k in range(raters):
            looked = None if rated is None else rated[k, start : start + _BLOCK]
            part *= base if k else 1
            np.add(part, _labels(masks[k, start : start + _BLOCK], num_labels, looked), out=part, casting="unsafe")
        counts += np.bincount(part, minlength=places)
    present = np.flatnonzero(counts)
    place = np.zeros(places, dtype=np.min_scalar_type(max(len(present) - 1, 0)))
    place[present] = np.arange(len(present))
    digits = [present // base ** (raters - 1 - k) % base for k in range(raters)]
    labels = np.array(digits, dtype=np.intp).reshape(raters, len(present))
    return labels, counts[present], looked_up(place, code)


def _renumbered(
    masks: NDArray, num_labels: int, rated: NDArray | None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.unsignedinteger]]:
    """The same where the numbers would be too many: renumbered after each rater, as small as combinations are few."""
    base = num_labels + 1
    code = np.zeros(masks.shape[1], dtype=np.intp)
    found = np.zeros((0, 1 if code.size else 0), dtype=np.intp)
    for k, mask in enumerate(masks):
        code *= base
        code += _labels(mask, num_labels, None if rated is None else rated[k])
        present, code = _renumber(code, found.shape[1] * base)
        found = np.concatenate([found[:, present // base], (present % base)[None]])
    which = code.astype(np.min_scalar_type(max(found.shape[1] - 1, 0)))
    return found, np.bincount(code, minlength=found.shape[1]), which


def _renumber(code: NDArray[np.intp], size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The numbers below ``size`` that occur, in order, and each entry's place among them."""
    if size > 4 * len(code) + (1 << 16):
        return np.unique(code, return_inverse=True)
    used = np.bincount(code, minlength=size) > 0
    return np.flatnonzero(used), (np.cumsum(used) - 1)[code]
