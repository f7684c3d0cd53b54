"""Where figures are measured: around what anyone drew, because easy background drives every figure to nought."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from probseg.errors import ProbsegError
from probseg.labels import LabelSet

__all__ = [
    "MARGIN_MM",
    "MARGIN_PIXELS",
    "bounding_box",
    "check_region",
    "combination_region",
    "dilated",
    "foreground",
    "union_box",
    "union_region",
    "usual_region",
]

MARGIN_MM = 5.0
MARGIN_PIXELS = 5.0

# Voxels that are looked at together: some slices, so that few words go between Python and NumPy.
_AT_ONCE = 1 << 20


def bounding_box(mask: NDArray) -> tuple[slice, ...] | None:
    """The smallest box that holds every voxel of ``mask`` that is true or not 0; None when there is none.

    Slices are looked at from both ends until one holds something; only what lies between is looked at closer, so that a
    small lesion in a large volume costs one reading of it.
    """
    if mask.size == 0:
        return None
    # Of bytes that lie in one piece the processor takes many at once.
    rest: NDArray = mask.view(np.uint8) if mask.itemsize == 1 and mask.flags.c_contiguous else mask
    box = []
    while rest.ndim > 1:
        ends = _ends(rest)
        if ends is None:
            return None
        box.append(ends)
        part = rest[ends]
        rest = np.asarray(np.bitwise_or.reduce(part, axis=0) if part.dtype == np.uint8 else part.any(axis=0))
    line = _ends(rest)
    return None if line is None else (*box, line)


def _ends(parts: NDArray) -> slice | None:
    """From the first to the last part along the first axis that holds something; None where none does."""
    step = max(1, _AT_ONCE // max(1, math.prod(parts.shape[1:])))
    for start in range(0, len(parts), step):
        holds = _holding(parts[start : start + step])
        if len(holds):
            break
    else:
        return None
    first = start + int(holds[0])
    for stop in range(len(parts), first, -step):
        back = max(first, stop - step)
        holds = _holding(parts[back:stop])
        if len(holds):
            break
    return slice(first, back + int(holds[-1]) + 1)


def _holding(parts: NDArray) -> NDArray[np.intp]:
    """Which of some parts hold anything."""
    if parts.dtype == np.uint8 and parts.flags.c_contiguous:
        return np.flatnonzero(parts.reshape(len(parts), -1).max(axis=1))
    return np.flatnonzero(parts.any(axis=tuple(range(1, parts.ndim))))


def union_box(boxes: Iterable[tuple[slice, ...] | None]) -> tuple[slice, ...] | None:
    """The smallest box that holds several; None where there is none of them."""
    axes = list(zip(*(b for b in boxes if b is not None), strict=True))
    return tuple(slice(min(b.start for b in axis), max(b.stop for b in axis)) for axis in axes) or None


def dilated(mask: NDArray[np.bool_], spacing_mm: Sequence[float] | None = None) -> NDArray[np.bool_]:
    """Every voxel within 5 mm of a true voxel, or within 5 voxels where ``spacing_mm`` is None; same shape.

    Distances are Euclidean between voxel centres, so the ball is anisotropic where the spacing is.
    """
    box = bounding_box(mask)
    grown = np.zeros(mask.shape, dtype=bool)
    if box is None:
        return grown
    spacing = (1.0,) * mask.ndim if spacing_mm is None else tuple(spacing_mm)
    margin = MARGIN_PIXELS if spacing_mm is None else MARGIN_MM
    reach = [int(margin / s + 1) for s in spacing]
    wide = tuple(slice(max(0, b.start - r), b.stop + r) for b, r in zip(box, reach, strict=True))
    # A little slack, so that a voxel at exactly 5 mm is inside whatever the rounding of the spacing.
    grown[wide] = ndimage.distance_transform_edt(~mask[wide], sampling=spacing) <= margin * (1.0 + 1e-9)
    return grown


def foreground(masks: NDArray, num_classes: int, rated: NDArray | None = None) -> NDArray[np.bool_]:
    """``space``: voxels that any mask of ``(raters, *space)`` calls a foreground class where it rated."""
    drawn = (masks > 0) & (masks < num_classes)
    return np.asarray((drawn if rated is None else drawn & rated).any(axis=0))


def check_region(region: str, labels: LabelSet) -> str:
    """The name of a region of `combination_region`; E_ARGUMENT, with those there are, for another."""
    known = ("union", "whole", *labels.structures)
    if region not in known:
        raise ProbsegError("E_ARGUMENT", f"region '{region}' is none; the regions are {', '.join(known)}")
    return region


def combination_region(raters: NDArray[np.intp], labels: LabelSet, region: str = "union") -> NDArray[np.bool_]:
    """``(combinations,)``: whether voxels of these labels lie in a declared region.

    Args:
        raters: ``(raters, combinations)`` dense labels; beyond the label set is not rated.
        labels: the label set.
        region: ``union``, what any rater certainly drew; ``whole``, everything, easy background included; or the name
            of a class or group, such as the lung: what any rater certainly calls so.

    Raises:
        ProbsegError: E_ARGUMENT for another region.
    """
    if check_region(region, labels) == "whole":
        return np.ones(raters.shape[1], dtype=bool)
    inside = ~labels.admissible[:, 0] if region == "union" else labels.membership(region) == 1
    return np.asarray(np.append(inside, False)[raters].any(axis=0))


def union_region(
    masks: NDArray,
    prediction: NDArray,
    num_classes: int,
    rated: NDArray | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> NDArray[np.bool_]:
    """The region of every calibration figure: foreground of any rater or of the prediction, dilated by 5 mm.

    Args:
        masks: ``(raters, *space)`` integer label maps.
        prediction: ``space`` the predicted label map.
        num_classes: C, background included.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        spacing_mm: distance of neighbours along each axis of space; None dilates by 5 voxels.

    Returns:
        ``space`` booleans; nothing is true when nobody drew anything.
    """
    return dilated(foreground(masks, num_classes, rated) | (prediction > 0), spacing_mm)


def usual_region(
    probabilities: NDArray,
    masks: NDArray,
    region: NDArray | None = None,
    rated: NDArray | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> NDArray[np.bool_]:
    """The region that was asked for, else `union_region` of the raters and the most probable class.

    Args:
        probabilities: ``(classes, *space)``.
        masks: as in `union_region`.
        region: ``space`` booleans; None for the usual.
        rated: as in `union_region`.
        spacing_mm: as in `union_region`.
    """
    if region is not None:
        return region
    return union_region(masks, probabilities.argmax(axis=0), len(probabilities), rated, spacing_mm)
