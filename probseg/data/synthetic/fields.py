"""Random textures in millimetres: smooth Gaussian fields and cell walls, the same whatever the voxel grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["Axes", "cell_walls", "smooth_field"]

Axes = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]


def smooth_field(
    rng: np.random.Generator, axes: Axes, length_mm: float | tuple[float, float, float], waves: int = 64
) -> NDArray[np.float32]:
    """A stationary Gaussian random field on a grid, standard normal at every voxel.

    A sum of ``waves`` plane waves with random frequencies and independent normal amplitudes (Rahimi and Recht 2007),
    so that the marginal distribution is exactly N(0, 1) for every number of waves, and the correlation between two
    points d apart is exp(-d^2 / (2 length^2)) in expectation. Being products along the axes, the waves cost one small
    matrix product.

    Args:
        rng: source of randomness.
        axes: coordinates in mm along ``(slices, rows, columns)``.
        length_mm: correlation length, one for all axes or one an axis.
        waves: number of plane waves.

    Returns:
        ``(slices, rows, columns)`` float32.
    """
    frequency = rng.standard_normal((waves, 3)) / np.broadcast_to(np.asarray(length_mm, dtype=float), (3,))
    amplitude = (rng.standard_normal(waves) + 1j * rng.standard_normal(waves)) / np.sqrt(waves)
    z, y, x = (
        np.exp(1j * np.outer(np.asarray(a), f)).astype(np.complex64) for a, f in zip(axes, frequency.T, strict=True)
    )
    planes = (z * amplitude.astype(np.complex64))[:, None, :] * y[None, :, :]
    field = (planes.reshape(-1, waves) @ x.T).real
    return np.ascontiguousarray(field.reshape(len(z), len(y), len(x)), dtype=np.float32)


def cell_walls(
    rng: np.random.Generator, points_mm: NDArray[np.floating], cell_mm: float, width_mm: float
) -> NDArray[np.float32]:
    """How much of a wall between neighbouring cells passes through each point, 1 on the wall and 0 in a cell.

    Cells are those of Voronoi around a jittered grid of seeds; the distance to the wall is half the difference of the
    distances to the two nearest seeds, and the profile is a Gaussian of standard deviation ``width_mm``.

    Args:
        rng: source of randomness.
        points_mm: ``(points, 3)``.
        cell_mm: size of a cell.
        width_mm: half the thickness of a wall.

    Returns:
        ``(points,)`` float32.
    """
    if len(points_mm) == 0:
        return np.zeros(0, dtype=np.float32)
    low, high = points_mm.min(axis=0) - 1.5 * cell_mm, points_mm.max(axis=0) + 1.5 * cell_mm
    ticks = [np.arange(a, b, cell_mm) for a, b in zip(low, high, strict=True)]
    seeds = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    seeds = seeds + rng.uniform(-0.45, 0.45, seeds.shape) * cell_mm
    near, _ = cKDTree(seeds).query(points_mm, k=2)
    wall = (near[:, 1] - near[:, 0]) / 2
    return np.exp(-0.5 * (wall / width_mm) ** 2).astype(np.float32)
