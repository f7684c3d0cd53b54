"""How much label maps overlap: Dice and IoU between every map of one stack and every map of another.

Everything is a matrix of counts first; ratios come last, so that counts of parts of an image may be added.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probseg.analysis.packed_masks import common, pack_equal, sizes

__all__ = [
    "Counts",
    "Stack",
    "dice",
    "dice_matrix",
    "foreground_counts",
    "iou",
    "iou_matrix",
    "joint_histogram",
    "mean_over_classes",
    "overlap_counts",
    "pairwise_dice",
    "structure_counts",
    "structure_joint",
]

# Voxels that are looked at together, and the bytes their labels may take: memory does not grow with the image.
_BLOCK = 1 << 18
_BLOCK_BYTES = 1 << 25

# Label maps ``(n, *space)`` of one group of people or readings, and where they looked, None for everywhere.
Stack = tuple[NDArray, NDArray | None]


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
    return _between((a, rated_a), (b, rated_b), num_classes, 0)


def foreground_counts(stacks: Sequence[Stack], num_classes: int) -> Counts:
    """Counts of each foreground class between all maps of all stacks, in their order.

    Args:
        stacks: label maps and where they are rated, as the arguments of `overlap_counts`.
        num_classes: C, background included.

    Returns:
        Three arrays ``(n, n, C - 1)``, n the number of maps.
    """
    total = sum(len(maps) for maps, _ in stacks)
    counts = _zeros(total, total, num_classes - 1)
    for labels in _label_blocks(stacks, num_classes, 1):
        _add_block(counts, labels, labels, num_classes, 1)
    return counts


def _between(a: Stack, b: Stack, num_classes: int, first_class: int) -> Counts:
    """Counts of the classes from ``first_class`` on between the maps of two stacks."""
    n, m = len(a[0]), len(b[0])
    if a[0] is b[0] and a[1] is b[1]:
        counts = _zeros(n, n, num_classes - first_class)
        for labels in _label_blocks([a], num_classes, first_class):
            _add_block(counts, labels, labels, num_classes, first_class)
        return counts
    counts = _zeros(n, m, num_classes - first_class)
    for labels in _label_blocks([a, b], num_classes, first_class):
        _add_block(counts, labels[:n], labels[n:], num_classes, first_class)
    return counts


def _zeros(n: int, m: int, classes: int) -> Counts:
    return Counts(*(np.zeros((n, m, classes)) for _ in range(3)))


def _label_blocks(stacks: Sequence[Stack], num_classes: int, first_class: int) -> Iterator[NDArray]:
    """``(maps, voxels)`` labels of some voxels after the other, ``num_classes`` where nothing is known of a leaf.

    Voxels that are certainly of no counted class, such as what is background to everyone, may be left out.
    """
    total = sum(len(maps) for maps, _ in stacks)
    flat = [_flat(maps, rated) for maps, rated in stacks if len(maps)]
    step = max(1, min(_BLOCK, _BLOCK_BYTES // max(1, total)))
    for start in range(0, flat[0][0].shape[1] if flat else 0, step):
        part = slice(start, start + step)
        labels = np.concatenate(
            [_labels(maps[:, part], num_classes, None if rated is None else rated[:, part]) for maps, rated in flat]
        )
        if first_class == 0:
            yield labels
            continue
        seen = np.flatnonzero(np.bitwise_or.reduce(labels, axis=0))
        if len(seen):
            few = 8 * len(seen) < labels.shape[1]
            yield labels.take(seen, axis=1) if few else labels[:, seen[0] : seen[-1] + 1]


def _flat(maps: NDArray, rated: NDArray | None) -> Stack:
    """A stack as ``(n, voxels)``, of which nothing is copied."""
    maps = np.asarray(maps)
    shape = (len(maps), math.prod(maps.shape[1:]))
    return maps.reshape(shape), None if rated is None else np.broadcast_to(rated, maps.shape).reshape(shape)


def _labels(maps: NDArray, num_classes: int, rated: NDArray | None) -> NDArray:
    """Labels in as few bytes as hold them, ``num_classes`` where nothing is known of a leaf class."""
    if maps.dtype.kind == "b":
        maps = maps.view(np.uint8)
    kind = np.min_scalar_type(num_classes)
    if rated is None and maps.max(initial=0) < num_classes and (maps.dtype.kind == "u" or maps.min(initial=0) >= 0):
        return maps.astype(kind, copy=False)
    known = (maps >= 0) & (maps < num_classes)
    if rated is not None:
        known &= rated
    return np.where(known, maps, num_classes).astype(kind)


def _add_block(counts: Counts, a: NDArray, b: NDArray, num_classes: int, first_class: int) -> None:
    (part_a, rated_a), (part_b, rated_b) = (_partly_rated(labels, num_classes) for labels in (a, b))
    for k, c in enumerate(range(first_class, num_classes)):
        in_a = pack_equal(a, c)
        in_b = in_a if a is b else pack_equal(b, c)
        counts.both[:, :, k] += common(in_a, in_b)
        # Where a map is rated everywhere, all of the other's mask counts.
        first = np.repeat(sizes(in_a)[:, None], len(b), axis=1)
        second = np.repeat(sizes(in_b)[None], len(a), axis=0)
        if len(part_b):
            first[:, part_b] = common(in_a, rated_b)
        if len(part_a):
            second[part_a] = common(rated_a, in_b)
        counts.first[:, :, k] += first
        counts.second[:, :, k] += second


def _partly_rated(labels: NDArray, num_classes: int) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Which maps are not rated everywhere, and where they are."""
    if labels.max(initial=0) < num_classes:
        return np.zeros(0, dtype=np.intp), np.zeros((0, 0), dtype=np.uint64)
    part = np.flatnonzero(labels.max(axis=1) >= num_classes)
    return part, ~pack_equal(labels[part], num_classes)


def iou_matrix(
    a: NDArray, b: NDArray, num_classes: int, rated_a: NDArray | None = None, rated_b: NDArray | None = None
) -> NDArray[np.float64]:
    """Mean IoU over the foreground classes between every map of ``a`` and of ``b``: ``(n, m)``, in 0..1.

    A class absent from both counts 1, as in PHiSeg (Baumgartner et al. 2019), SSN and CCDM; ``1 - iou_matrix`` is the
    distance inside every energy distance. Arguments as for `overlap_counts`.
    """
    return mean_over_classes(iou(_between((a, rated_a), (b, rated_b), num_classes, 1)))


def dice_matrix(
    a: NDArray, b: NDArray, num_classes: int, rated_a: NDArray | None = None, rated_b: NDArray | None = None
) -> NDArray[np.float64]:
    """Mean Dice over the foreground classes between every map of ``a`` and of ``b``; otherwise as `iou_matrix`."""
    return mean_over_classes(dice(_between((a, rated_a), (b, rated_b), num_classes, 1)))


def mean_over_classes(ratios: NDArray[np.float64], absent: float = 1.0) -> NDArray[np.float64]:
    """Mean over the last axis, where NaN, a class that is absent from both masks, counts ``absent``.

    Args:
        ratios: ``(..., classes)`` of `dice` or `iou`.
        absent: 1 or 0, or NaN to leave such a class out; the mean is then NaN where all are.
    """
    if math.isnan(absent):
        known = ~np.isnan(ratios)
        total = np.where(known, ratios, 0.0).sum(axis=-1)
        number = known.sum(axis=-1)
        return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return np.where(np.isnan(ratios), absent, ratios).mean(axis=-1)


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
