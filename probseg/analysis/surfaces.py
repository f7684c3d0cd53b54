"""How far apart two outlines lie, in mm.

A surface voxel is a voxel of the mask with a face neighbour outside it; beyond the image counts as outside. These are
the surfaces of MONAI and medpy. Distances run between voxel centres, anisotropic, from each surface voxel to the
nearest one of the other mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from probseg.analysis.region import bounding_box

__all__ = ["Surface", "SurfaceDistances", "both_ways", "surface", "surface_dice", "surface_distance"]

Surface = cKDTree


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

    def percentile(self, percentile: float = 95) -> float:
        """The larger of the two directions' percentiles, in mm.

        100 is the Hausdorff distance; the same as MONAI's ``compute_hausdorff_distance(percentile=...)``.
        """
        return float(max(np.percentile(d, percentile) for d in self))

    def dice(self, tolerance_mm: float) -> float:
        """Share of the surface voxels of both masks that lie within a tolerance of the other's surface, 0..1.

        Nikolov et al. (2021), doi:10.2196/26151, with voxels in place of the areas of surface elements.
        """
        # A little slack, so that a voxel at exactly the tolerance is within it whatever the rounding of the spacing.
        within = sum(int(np.count_nonzero(d <= tolerance_mm * (1.0 + 1e-9))) for d in self)
        return within / (len(self.forth) + len(self.back))


def surface(mask: NDArray[np.bool_], spacing_mm: Sequence[float], start: Sequence[int] | None = None) -> Surface | None:
    """The surface voxels of a mask as a search tree over their positions in mm; None for an empty mask.

    Args:
        mask: ``space``.
        spacing_mm: distance of neighbours along each axis.
        start: where the first voxel of ``mask`` lies, in voxels of a larger image; None for the origin.
    """
    box = bounding_box(mask)
    if box is None:
        return None
    # Cut to the mask: beyond the box lies nothing of it, and erosion takes what lies beyond its array for nothing.
    part = mask[box]
    first = np.array([b.start for b in box]) + (0 if start is None else np.asarray(start))
    points = np.argwhere(part & ~ndimage.binary_erosion(part)) + first
    return cKDTree(points * np.asarray(spacing_mm, dtype=np.float64))


def both_ways(a: Surface | None, b: Surface | None) -> SurfaceDistances | None:
    """Distances in mm from each surface voxel of ``a`` to the nearest of ``b``, and back; None where one is empty."""
    if a is None or b is None:
        return None
    return SurfaceDistances(np.asarray(b.query(a.data)[0]), np.asarray(a.query(b.data)[0]))


def surface_distance(a: NDArray, b: NDArray, spacing_mm: Sequence[float], percentile: float | None = 95) -> float:
    """Symmetric distance in mm between the surfaces of two masks.

    Args:
        a: ``space``, true or non-zero inside.
        b: likewise.
        spacing_mm: distance of neighbours along each axis of space.
        percentile: 0..100, the larger of the two directions' percentiles (100: Hausdorff distance); None for the mean
            over both directions' distances together.

    Returns:
        NaN where either mask is empty: there is no distance to a surface that is not there.

    Example:
        >>> a, b = np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 1]])
        >>> surface_distance(a, b, (1.0, 0.5), 100), surface_distance(a, b, (1.0, 0.5), None)
        (1.0, 0.25)
    """
    distances = both_ways(surface(np.asarray(a) != 0, spacing_mm), surface(np.asarray(b) != 0, spacing_mm))
    if distances is None:
        return math.nan
    return distances.mean() if percentile is None else distances.percentile(percentile)


def surface_dice(a: NDArray, b: NDArray, spacing_mm: Sequence[float], tolerance_mm: float) -> float:
    """Share of the surfaces of two masks that lie within ``tolerance_mm`` of each other, 0..1.

    Arguments as for `surface_distance`. NaN where either mask is empty.

    Example:
        >>> surface_dice(np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 1]]), (1.0, 0.5), 0.5)
        0.8333333333333334
    """
    distances = both_ways(surface(np.asarray(a) != 0, spacing_mm), surface(np.asarray(b) != 0, spacing_mm))
    return math.nan if distances is None else distances.dice(tolerance_mm)
