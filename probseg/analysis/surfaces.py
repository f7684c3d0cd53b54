"""How far apart two outlines lie, in mm.

A surface voxel is a voxel of the mask with a face neighbour outside it; beyond the image counts as outside. These are
the surfaces of MONAI and medpy. Distances run between voxel centres, anisotropic, from each surface voxel to the
nearest one of the other mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from probseg.analysis.region import bounding_box

__all__ = ["both_ways", "mean_distance", "percentile_distance", "surface", "surface_distance"]


def surface(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> cKDTree | None:
    """The surface voxels of a mask as a search tree over their positions in mm; None for an empty mask."""
    box = bounding_box(mask)
    if box is None:
        return None
    # Cut to the mask: beyond the box lies nothing of it, and erosion takes what lies beyond its array for nothing.
    part = mask[box]
    points = np.argwhere(part & ~ndimage.binary_erosion(part)) + [b.start for b in box]
    return cKDTree(points * np.asarray(spacing_mm, dtype=np.float64))


def both_ways(a: cKDTree | None, b: cKDTree | None) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Distances in mm from each surface voxel of ``a`` to the nearest of ``b``, and back; None where one is empty."""
    if a is None or b is None:
        return None
    return np.asarray(b.query(a.data)[0]), np.asarray(a.query(b.data)[0])


def mean_distance(distances: tuple[NDArray[np.float64], NDArray[np.float64]] | None) -> float:
    """Mean over the distances of both directions taken together, in mm; NaN for None.

    The larger surface weighs more, as in MONAI's symmetric average surface distance.
    """
    return math.nan if distances is None else float(np.concatenate(distances).mean())


def percentile_distance(
    distances: tuple[NDArray[np.float64], NDArray[np.float64]] | None, percentile: float = 95
) -> float:
    """The larger of the two directions' percentiles, in mm; NaN for None.

    100 is the Hausdorff distance; the same as MONAI's ``compute_hausdorff_distance(percentile=...)``.
    """
    return math.nan if distances is None else float(max(np.percentile(d, percentile) for d in distances))


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
    return mean_distance(distances) if percentile is None else percentile_distance(distances, percentile)
