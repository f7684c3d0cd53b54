"""How much label maps overlap: Dice and IoU between every map of one stack and every map of another.

Everything is a matrix of counts first; ratios come last, so that counts of parts of an image may be added.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Counts",
    "dice",
    "iou",
    "iou_matrix",
    "joint_histogram",
    "overlap_counts",
    "pairwise_dice",
    "structure_counts",
    "structure_joint",
]

# One block of one-hot maps stays within some tens of MB, and float32 counts stay exact (below 2^24).
_BLOCK = 1 << 18


class Counts(NamedTuple):
    """Voxels in both, in the first and in the second of two masks, counted where both are rated."""

    both: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]


def dice(counts: Counts) -> NDArray[np.float64]:
    """``2 |a & b| / (|a| + |b|)``; NaN where both are empty, 0 where one is."""
    total = counts.first + counts.second
    return np.divide(2.0 * counts.both, total, out=np.full(total.shape, np.nan), where=total > 0)


def iou(counts: Counts) -> NDArray[np.float64]:
    """``|a & b| / |a | b|``; NaN where both are empty, 0 where one is."""
    union = counts.first + counts.second - counts.both
    return np.divide(counts.both, union, out=np.full(union.shape, np.nan), where=union > 0)


def overlap_counts(
    a: NDArray, b: NDArray, num_classes: int, rated_a: NDArray | None = None, rated_b: NDArray | None = None
) -> Counts:
    """Counts of each leaf class between every map of ``a`` and every map of ``b``.

    Args:
        a: ``(n, *space)`` integer label maps; a label outside ``0..num_classes-1`` is treated as not rated.
        b: ``(m, *space)`` likewise.
        num_classes: C, background included.
        rated_a: ``(n, *space)`` booleans, None for everywhere.
        rated_b: ``(m, *space)`` likewise.

    Returns:
        Three arrays ``(n, m, C)``; voxels that either of the two did not rate are left out.
    """
    n, m = len(a), len(b)
    flat_a, flat_b = _not_rated(a, num_classes, rated_a), _not_rated(b, num_classes, rated_b)
    both, first, second = (np.zeros((n, m, num_classes)) for _ in range(3))
    for start in range(0, flat_a.shape[1], _BLOCK):
        block_a, block_b = flat_a[:, start : start + _BLOCK], flat_b[:, start : start + _BLOCK]
        valid_a, valid_b = ((block >= 0).astype(np.float32) for block in (block_a, block_b))
        for c in range(num_classes):
            in_a, in_b = ((block == c).astype(np.float32) for block in (block_a, block_b))
            both[:, :, c] += in_a @ in_b.T
            first[:, :, c] += in_a @ valid_b.T
            second[:, :, c] += valid_a @ in_b.T
    return Counts(both, first, second)


def _not_rated(maps: NDArray, num_classes: int, rated: NDArray | None) -> NDArray[np.int16]:
    """``(n, voxels)`` labels with -1 where nothing is known of a leaf class."""
    maps = np.asarray(maps)
    known = (maps >= 0) & (maps < num_classes)
    if rated is not None:
        known &= rated
    # int16 before -1: NumPy would wrap -1 to 255 in the uint8 of a mask, and 255 passes for rated
    return np.where(known, maps.astype(np.int16), np.int16(-1)).reshape(len(maps), -1)


def iou_matrix(
    a: NDArray, b: NDArray, num_classes: int, rated_a: NDArray | None = None, rated_b: NDArray | None = None
) -> NDArray[np.float64]:
    """Mean IoU over the foreground classes between every map of ``a`` and of ``b``: ``(n, m)``, in 0..1.

    A class absent from both counts 1, as in PHiSeg (Baumgartner et al. 2019), SSN and CCDM; ``1 - iou_matrix`` is the
    distance inside every energy distance. Arguments as for `overlap_counts`.
    """
    space = tuple(range(1, a.ndim))
    # Only foreground classes count, and most of an image is background to everyone.
    seen = np.logical_or.reduce([(x != 0).any(axis=0) for x in (a, b)])
    if space and not seen.all():
        a, b = a[:, seen], b[:, seen]
        rated_a = None if rated_a is None else np.broadcast_to(rated_a, (len(a), *seen.shape))[:, seen]
        rated_b = None if rated_b is None else np.broadcast_to(rated_b, (len(b), *seen.shape))[:, seen]
    per_class = iou(overlap_counts(a, b, num_classes, rated_a, rated_b))[:, :, 1:]
    return np.where(np.isnan(per_class), 1.0, per_class).mean(axis=2)


def pairwise_dice(masks: NDArray, num_classes: int, rated: NDArray | None = None) -> NDArray[np.float64]:
    """Dice between every two raters for every class: ``(raters, raters, classes)``, NaN where both are empty.

    Args:
        masks: ``(raters, *space)`` integer label maps; a label outside ``0..num_classes-1`` counts as not rated.
        num_classes: C, background included.
        rated: ``(raters, *space)`` booleans, None for everywhere.

    Example:
        >>> pairwise_dice(np.array([[1, 1, 0, 0], [1, 1, 1, 0]]), 2)[0, 1].round(3).tolist()
        [0.667, 0.8]
    """
    return dice(overlap_counts(masks, masks, num_classes, rated, rated))


def joint_histogram(a: NDArray, b: NDArray, num_labels: int, voxels: NDArray | None = None) -> NDArray[np.float64]:
    """``(labels, labels)``: how many voxels have label i in ``a`` and j in ``b``.

    Args:
        a: integer labels, any shape; where either has a label outside ``0..num_labels-1`` the voxel is left out.
        b: likewise, the same shape.
        num_labels: number of labels.
        voxels: how many voxels each entry stands for (`probseg.analysis.patterns`); None for one.
    """
    known = (a >= 0) & (a < num_labels) & (b >= 0) & (b < num_labels)
    index = a[known].astype(np.intp) * num_labels + b[known]
    weights = np.ones(len(index)) if voxels is None else voxels[known]
    counts = np.bincount(index, weights, minlength=num_labels**2).astype(np.float64)
    return counts.reshape(num_labels, num_labels)


def structure_counts(joint: NDArray, membership: ArrayLike) -> Counts:
    """Counts of one structure from the joint histogram of two masks; voxels that a label leaves open are left out.

    Args:
        joint: ``(labels, labels)`` of `joint_histogram`.
        membership: ``(labels,)`` of `LabelSet.membership`: 1 inside, 0 outside, -1 undecided.
    """
    member = np.asarray(membership)
    inside, decided = (member == 1).astype(np.float64), (member != -1).astype(np.float64)
    return Counts(*(np.asarray(x @ joint @ y) for x, y in ((inside, inside), (inside, decided), (decided, inside))))


def structure_joint(joint: NDArray, membership: ArrayLike) -> NDArray[np.float64]:
    """``(2, 2)``: a joint histogram of labels as outside and inside of one structure; see `structure_counts`."""
    member = np.asarray(membership)
    sides = np.stack([member == 0, member == 1]).astype(np.float64)
    return np.asarray(sides @ joint @ sides.T)
