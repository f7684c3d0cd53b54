"""How far apart two outlines lie, in mm.

A surface voxel is a voxel of the mask with a face neighbour outside it; beyond the image counts as outside. These are
the surfaces of MONAI and medpy. Distances run between voxel centres, anisotropic, from each surface voxel to the
nearest one of the other mask. DeepMind's surface-distance differs: its surface is a mesh between the voxels, and each
distance weighs by the area it stands for. Each of its elements lies at a corner of a surface voxel, so its Hausdorff
distance is within one voxel's diagonal of ours; its percentiles shift with the weights as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from probseg.analysis.region import bounding_box

__all__ = ["Surface", "SurfaceDistances", "both_ways", "surface", "surface_dice", "surface_distance"]

# Below so many surface voxels a search tree is as quick as looking at the neighbours of each voxel.
_FEW = 1000
# How many neighbours are looked at before the rest is left to the tree.
_NEIGHBOURS = 150


class Surface:
    """The surface voxels of one mask.

    Args:
        axes: along each axis of space the positions of the voxels, ``(n,)``, n at least 1.
        spacing_mm: distance of neighbours along each axis.
    """

    def __init__(self, axes: Sequence[NDArray[np.intp]], spacing_mm: Sequence[float]) -> None:
        self.axes = axes
        self.spacing_mm = tuple(float(s) for s in spacing_mm)
        self.low = [int(axis.min()) for axis in axes]
        self.high = [int(axis.max()) for axis in axes]

    def __len__(self) -> int:
        return len(self.axes[0])

    def points_mm(self, chosen: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.float64]:
        """``(n, dimensions)`` positions of the voxels, or of some of them, in mm."""
        return np.stack([axis[chosen] * s for axis, s in zip(self.axes, self.spacing_mm, strict=True)], axis=1)

    @cached_property
    def tree(self) -> cKDTree:
        """Search tree over the positions."""
        # Points on a grid need no balancing, which would take longer than it saves.
        return cKDTree(self.points_mm(), compact_nodes=False, balanced_tree=False)

    def distances_to(self, other: Surface) -> NDArray[np.float64]:
        """``(n,)``: from each surface voxel to the nearest of ``other``, in mm."""
        if min(len(self), len(other)) <= _FEW:
            return np.asarray(other.tree.query(self.points_mm())[0])
        return self._near(other)

    def _near(self, other: Surface) -> NDArray[np.float64]:
        """The same for large surfaces, most of whose voxels lie a few steps apart: nearest steps are tried first."""
        reach, steps = _steps(self.spacing_mm)
        first = [min(a, b) - r for a, b, r in zip(self.low, other.low, reach, strict=True)]
        shape = [max(a, b) + r + 1 - f for a, b, r, f in zip(self.high, other.high, reach, first, strict=True)]
        stride = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
        there = np.zeros(math.prod(shape), dtype=bool)
        there[other._places(first, stride)] = True
        place, left, out = self._places(first, stride), np.arange(len(self)), np.empty(len(self))
        for length, several in steps:
            moves = several @ stride
            hit = there[place + moves[0]]
            for move in moves[1:]:
                hit |= there[place + move]
            out[left[hit]] = length
            missed = ~hit
            place, left = place[missed], left[missed]
            if not len(left):
                return out
        out[left] = other.tree.query(self.points_mm(left))[0]
        return out

    def _places(self, first: Sequence[int], stride: Sequence[int]) -> NDArray[np.intp]:
        """Positions as numbers of the voxels of a box that starts at ``first``."""
        parts = zip(self.axes, first, stride, strict=True)
        return sum(((axis - f) * s for axis, f, s in parts), start=np.zeros(len(self), dtype=np.intp))


def _steps(spacing_mm: Sequence[float]) -> tuple[list[int], list[tuple[float, NDArray[np.intp]]]]:
    """Steps from a voxel to its neighbours, those of one length in mm together, nearest first; none nearer is missing.

    Returns:
        How far they reach along each axis, and length and ``(n, dimensions)`` steps.
    """
    dimensions = len(spacing_mm)
    # A ball of about _NEIGHBOURS voxels, whatever their shape.
    ball = {2: math.pi, 3: 4.0 / 3.0 * math.pi}.get(dimensions, 2.0)
    radius = max((_NEIGHBOURS / ball * math.prod(spacing_mm)) ** (1.0 / dimensions), min(spacing_mm))
    reach = [int(radius / s) for s in spacing_mm]
    steps = np.stack([g.ravel() for g in np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij")], axis=1)
    lengths = np.sqrt(((steps * np.asarray(spacing_mm)) ** 2).sum(axis=1))
    found: dict[float, list[int]] = {}
    for k in np.argsort(lengths, kind="stable").tolist():
        if lengths[k] <= radius:
            found.setdefault(float(lengths[k]), []).append(k)
    return reach, [(length, steps[several]) for length, several in found.items()]


class SurfaceDistances(NamedTuple):
    """Distances in mm from each surface voxel of one mask to the nearest of another, both ways.

    Attributes:
        forth: ``(surface voxels of a,)``.
        back: ``(surface voxels of b,)``.
    """

    forth: NDArray[np.float64]
    back: NDArray[np.float64]

    def mean(self) -> float:
        """Mean over the distances of both directions taken together, in mm.

        The larger surface weighs more, as in MONAI's symmetric average surface distance.
        """
        return float(np.concatenate(self).mean())

    def percentile(self, percentile: float = 95, pooled: bool = False) -> float:
        """The larger of the two directions' percentiles, in mm, or the percentile of both directions taken together.

        100 is the Hausdorff distance either way. The larger is MONAI's ``compute_hausdorff_distance(percentile=...)``,
        the pooled one is medpy's ``hd95``.
        """
        parts = (np.concatenate(self),) if pooled else self
        return float(max(np.percentile(d, percentile) for d in parts))

    def dice(self, tolerance_mm: float) -> float:
        """Share of the surface voxels of both masks that lie within a tolerance of the other's surface, 0..1.

        Nikolov et al. (2021), doi:10.2196/26151, with voxels in place of the areas of surface elements.
        """
        # A little slack, so that a voxel at exactly the tolerance is within it whatever the rounding of the spacing.
        within = sum(int(np.count_nonzero(d <= tolerance_mm * (1.0 + 1e-9))) for d in self)
        return within / (len(self.forth) + len(self.back))


def surface(mask: NDArray, spacing_mm: Sequence[float], start: Sequence[int] | None = None) -> Surface | None:
    """The surface voxels of a mask; None for an empty one.

    Args:
        mask: ``space``, true or non-zero inside.
        spacing_mm: distance of neighbours along each axis.
        start: where the first voxel of ``mask`` lies, in voxels of a larger image; None for the origin.
    """
    box = bounding_box(mask)
    if box is None:
        return None
    part = mask[box] != 0
    # Beyond the box lies nothing of the mask, so its rim is surface.
    inside = part.copy()
    for axis in range(part.ndim):
        before, after = ((slice(None),) * axis + (cut,) for cut in (slice(None, -1), slice(1, None)))
        inside[after] &= part[before]
        inside[before] &= part[after]
        inside[(slice(None),) * axis + ([0, -1],)] = False
    axes = np.unravel_index(np.flatnonzero(part ^ inside), part.shape)
    offset = [0] * part.ndim if start is None else start
    return Surface([axis + b.start + o for axis, b, o in zip(axes, box, offset, strict=True)], spacing_mm)


def both_ways(a: Surface | None, b: Surface | None) -> SurfaceDistances | None:
    """Distances in mm from each surface voxel of ``a`` to the nearest of ``b``, and back; None where one is empty."""
    return None if a is None or b is None else SurfaceDistances(a.distances_to(b), b.distances_to(a))


def surface_distance(
    a: NDArray, b: NDArray, spacing_mm: Sequence[float], percentile: float | None = 95, pooled: bool = False
) -> float:
    """Symmetric distance in mm between the surfaces of two masks.

    Args:
        a: ``space``, true or non-zero inside.
        b: likewise.
        spacing_mm: distance of neighbours along each axis of space.
        percentile: 0..100, the larger of the two directions' percentiles (100: Hausdorff distance); None for the mean
            over both directions' distances together.
        pooled: take the percentile, too, over both directions' distances together, as medpy does.

    Returns:
        NaN where either mask is empty: there is no distance to a surface that is not there.

    Example:
        >>> a, b = np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 1]])
        >>> surface_distance(a, b, (1.0, 0.5), 100), surface_distance(a, b, (1.0, 0.5), None)
        (1.0, 0.25)
    """
    distances = both_ways(surface(np.asarray(a), spacing_mm), surface(np.asarray(b), spacing_mm))
    if distances is None:
        return math.nan
    return distances.mean() if percentile is None else distances.percentile(percentile, pooled)


def surface_dice(a: NDArray, b: NDArray, spacing_mm: Sequence[float], tolerance_mm: float) -> float:
    """Share of the surfaces of two masks that lie within ``tolerance_mm`` of each other, 0..1.

    Arguments as for `surface_distance`. NaN where either mask is empty.

    Example:
        >>> surface_dice(np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 1]]), (1.0, 0.5), 0.5)
        0.8333333333333334
    """
    distances = both_ways(surface(np.asarray(a), spacing_mm), surface(np.asarray(b), spacing_mm))
    return math.nan if distances is None else distances.dice(tolerance_mm)
