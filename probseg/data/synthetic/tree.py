"""Branching tubes: the vessels and airways of a lung, and how much of each voxel they fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["Tubes", "fill", "grow", "straight"]


@dataclass(frozen=True)
class Tubes:
    """Points along the middle of tubes.

    Attributes:
        points_mm: ``(points, 3)``, axes (slices, rows, columns).
        radius_mm: ``(points,)``.
    """

    points_mm: NDArray[np.floating]
    radius_mm: NDArray[np.float64]

    def __add__(self, other: Tubes) -> Tubes:
        return Tubes(
            np.concatenate([self.points_mm, other.points_mm]), np.concatenate([self.radius_mm, other.radius_mm])
        )

    def wider_than(self, radius_mm: float) -> Tubes:
        """Only the parts with at least this radius."""
        kept = self.radius_mm >= radius_mm
        return Tubes(self.points_mm[kept], self.radius_mm[kept])

    def thicker(self, by_mm: float) -> Tubes:
        """The same tubes with every radius larger by so much: with their wall."""
        return Tubes(self.points_mm, self.radius_mm + by_mm)


def straight(points_mm: NDArray[np.floating], radius_mm: NDArray[np.float64], step_mm: float = 1.0) -> Tubes:
    """A tube through ``(n, 3)`` points with a radius at each, straight in between."""
    lengths = np.linalg.norm(np.diff(points_mm, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    at = np.linspace(0, along[-1], max(2, int(along[-1] / step_mm)))
    points = np.stack([np.interp(at, along, points_mm[:, k]) for k in range(3)], axis=-1)
    return Tubes(points, np.interp(at, along, radius_mm))


def grow(
    rng: np.random.Generator,
    root_mm: NDArray[np.float64],
    targets_mm: NDArray[np.float64],
    tip_mm: float,
    step_mm: float = 1.2,
) -> Tubes:
    """A tree from ``root_mm`` to every target, its radii by Murray's law.

    Targets join in order of their distance from the root; each joins the node for which its own length plus a part
    of the way back to the root is least. A branch that feeds n tips has radius ``tip_mm * n ** 0.38`` (Murray 1926
    gives 1/3, measured lungs a little more).

    Args:
        rng: source of randomness, for the bends.
        root_mm: ``(3,)``.
        targets_mm: ``(n, 3)``.
        tip_mm: radius of a tip.
        step_mm: distance between points along a branch.
    """
    targets_mm = targets_mm[np.argsort(((targets_mm - root_mm) ** 2).sum(axis=1))]
    nodes = np.concatenate([root_mm[None], targets_mm])
    parent = np.zeros(len(nodes), dtype=int)
    back = np.zeros(len(nodes))
    for k in range(1, len(nodes)):
        gap = np.sqrt(((nodes[:k] - nodes[k]) ** 2).sum(axis=1))
        parent[k] = int(np.argmin(gap + 0.35 * back[:k]))
        back[k] = back[parent[k]] + gap[parent[k]]
    tips = np.ones(len(nodes))
    for k in range(len(nodes) - 1, 0, -1):
        tips[parent[k]] += tips[k]
    start, end = nodes[parent[1:]], nodes[1:]
    length = np.linalg.norm(end - start, axis=1)
    count = np.maximum(2, np.ceil(length / step_mm)).astype(int)
    which = np.repeat(np.arange(len(start)), count)
    at = (np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)) / (count[which] - 1)
    bend = rng.normal(0, 0.12, (len(start), 3)) * length[:, None]
    points = start[which] * (1 - at)[:, None] + end[which] * at[:, None]
    points += bend[which] * (4 * at * (1 - at))[:, None]
    return Tubes(points, tip_mm * tips[1:][which] ** 0.38)


def fill(tubes: Tubes, points_mm: NDArray[np.floating], spacing_mm: tuple[float, ...]) -> NDArray[np.float32]:
    """The part of each voxel that tubes fill, 0 to 1, with soft edges of a voxel's width.

    Distances along the slice axis count less the thicker the slice, since a thick slice averages what crosses it,
    and tubes thinner than a voxel fill a part of it only.

    Args:
        tubes: the tubes.
        points_mm: ``(points, 3)`` centres of the voxels.
        spacing_mm: of the voxels, (slices, rows, columns).
    """
    filled = np.zeros(len(points_mm), dtype=np.float32)
    pixel = min(spacing_mm[1:])
    squeeze = np.array([min(1.0, max(pixel, 1.6) / spacing_mm[0]), 1.0, 1.0])
    for low, high in ((0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, np.inf)):
        part = (tubes.radius_mm >= low) & (tubes.radius_mm < high)
        if not part.any():
            continue
        radius = tubes.radius_mm[part]
        reach = float(radius.max() + pixel)
        distance, index = cKDTree(tubes.points_mm[part] * squeeze).query(
            points_mm * squeeze, distance_upper_bound=reach
        )
        hit = np.isfinite(distance)
        r = radius[index[hit]]
        soft = np.clip((r - distance[hit]) / pixel + 0.5, 0, 1)
        thin = np.minimum(1.0, 2 * r / pixel) * np.minimum(1.0, 2 * r / spacing_mm[0]) ** 0.4
        filled[hit] = np.maximum(filled[hit], soft * thin)
    return filled
