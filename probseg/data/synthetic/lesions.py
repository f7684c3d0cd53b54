"""Opacities in a lung: where they lie, how far each voxel is from their outline, and how dense they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from probseg.case import Geometry
from probseg.data.synthetic.fields import Axes, cell_walls, smooth_field
from probseg.data.synthetic.patterns import Pattern

__all__ = ["REACH_MM", "Draft", "Lesion", "place_lesions", "render", "settle"]

REACH_MM = 20.0
"""How far beyond a lesion's outline distances are kept; a rater's outline stays within."""

_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)
_GAP = np.ones((3, 5, 5), dtype=bool)
_LEAST_VOXELS = 14
_MOST_CUT = 0.1
_LUNG_HU = -850.0

Region = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Draft:
    """A lesion before its neighbours are known: its pattern and a mask ``region`` of voxels."""

    pattern: Pattern
    region: Region
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Lesion:
    """One opacity: a connected component of the truth.

    Attributes:
        pattern: its pattern; ``label`` is the dense label.
        region: the box of voxels that it and its surroundings take.
        signed_distance_mm: of the shape of ``region``: distance in the axial plane to the outline, negative inside;
            raters draw on axial slices, so a slice without the lesion is far away.
        territory: of the shape of ``region``: lung voxels of the same side nearer to this lesion than to any other.
            A rater's outline of this lesion stays in it, so no voxel belongs to two lesions.
        volume_ml: true volume.
    """

    pattern: Pattern
    region: Region
    signed_distance_mm: NDArray[np.float32]
    territory: NDArray[np.bool_]
    volume_ml: float

    @property
    def label(self) -> int:
        """The dense label of its pattern."""
        return self.pattern.label

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Of the shape of ``region``: the voxels of the lesion itself."""
        return self.territory & (self.signed_distance_mm < 0)


def axes_of(geometry: Geometry, region: Region | None = None) -> Axes:
    """Coordinates in mm along the array axes, 0 at the middle of the volume; of a region when one is given."""
    spacing = geometry.spacing
    assert spacing is not None
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(geometry.shape, spacing, strict=True)]
    if region is not None:
        axes = [a[r] for a, r in zip(axes, region, strict=True)]
    return axes[0], axes[1], axes[2]


def place_lesions(
    rng: np.random.Generator,
    lungs: NDArray[np.uint8],
    depth_mm: NDArray[np.float32],
    geometry: Geometry,
    patterns: Sequence[Pattern],
) -> list[Draft]:
    """Find a place and a shape for a lesion of each of ``patterns``, at least one voxel apart from each other.

    Args:
        rng: source of randomness.
        lungs: ``(slices, rows, columns)``, 0 outside, 1 left, 2 right.
        depth_mm: ``(slices, rows, columns)``: distance from the chest wall and diaphragm, positive inside.
        geometry: of the volume.
        patterns: one for each lesion wanted; one that finds no room is left out.
    """
    free = lungs > 0
    candidates = np.flatnonzero(free)
    drafts: list[Draft] = []
    if len(candidates) == 0:
        return drafts
    depth, back = depth_mm.ravel()[candidates], np.unravel_index(candidates, free.shape)[1] / free.shape[1]
    for pattern in patterns:
        weight = np.exp(-np.maximum(depth, 0) / pattern.depth_mm + 2.0 * back) * free.ravel()[candidates]
        total = np.cumsum(weight, dtype=np.float64)
        for _ in range(10):
            if total[-1] <= 0:
                break
            centre = candidates[min(np.searchsorted(total, rng.uniform(0, total[-1])), len(candidates) - 1)]
            draft = _shape(rng, pattern, np.unravel_index(int(centre), free.shape), lungs, depth_mm, free, geometry)
            if draft is not None:
                drafts.append(draft)
                _take(free, draft)
                break
    return drafts


def _take(free: NDArray[np.bool_], draft: Draft) -> None:
    """Take a lesion and the gap around it from the free voxels."""
    pads = [n // 2 for n in _GAP.shape]
    box = tuple(slice(max(0, s.start - p), s.stop + p) for s, p in zip(draft.region, pads, strict=True))
    taken = np.pad(draft.mask, [(s.start - b.start, p) for s, b, p in zip(draft.region, box, pads, strict=True)])
    place = free[box]
    place &= ~ndimage.binary_dilation(taken, _GAP)[tuple(slice(0, n) for n in place.shape)]


def _shape(
    rng: np.random.Generator,
    pattern: Pattern,
    centre: tuple[np.intp, ...],
    lungs: NDArray[np.uint8],
    depth_mm: NDArray[np.float32],
    free: NDArray[np.bool_],
    geometry: Geometry,
) -> Draft | None:
    radius = float(np.exp(rng.uniform(*np.log(pattern.radius_mm))))
    stretch = np.exp(rng.normal(0, 0.05 if pattern.ring_mm[1] else 0.18, 3))
    spacing = geometry.spacing
    assert spacing is not None
    region = tuple(
        slice(max(0, int(c - 1.7 * radius / s)), min(n, int(c + 1.7 * radius / s) + 2))
        for c, s, n in zip(centre, spacing, lungs.shape, strict=True)
    )
    region = (region[0], region[1], region[2])
    axes = axes_of(geometry, region)
    middle = [(int(c) - (n - 1) / 2) * s for c, n, s in zip(centre, geometry.shape, spacing, strict=True)]
    z, y, x = ((a - m) / (radius * f) for a, m, f in zip(axes, middle, stretch, strict=True))
    inside = 1.0 - np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2)
    inside = inside + pattern.ragged * smooth_field(rng, axes, 0.45 * radius, 32)
    inside += 0.4 * pattern.ragged * smooth_field(rng, axes, max(0.18 * radius, 4.0), 48)
    if pattern.patches[1] and pattern.depth_mm < 10:  # hugs the pleura: a band, not a ball
        band = (1.1 * pattern.depth_mm + 0.45 * radius - depth_mm[region]) / (0.7 * radius)
        inside = np.minimum(inside, band + 0.5 * pattern.ragged * smooth_field(rng, axes, 9.0, 32))
    whole = (inside > 0) & (lungs[region] == lungs[centre])
    mask = whole & free[region]
    if mask.sum() < (1 - _MOST_CUT) * whole.sum():  # would be shaped by its neighbour; look for another place
        return None
    parts, count = ndimage.label(mask, _NEIGHBOURS)
    if count == 0:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    mask = parts == sizes.argmax()
    return Draft(pattern, region, mask) if mask.sum() >= _LEAST_VOXELS else None


def settle(drafts: Sequence[Draft], lungs: NDArray[np.uint8], geometry: Geometry) -> list[Lesion]:
    """Measure distances to each outline and give every lung voxel near a lesion to the nearest one.

    Args:
        drafts: lesions that do not overlap, each within one lung.
        lungs: ``(slices, rows, columns)``, 0 outside, 1 left, 2 right.
        geometry: of the volume.
    """
    spacing = geometry.spacing
    assert spacing is not None
    nearest = np.full(lungs.shape, np.inf, dtype=np.float32)
    owner = np.full(lungs.shape, -1, dtype=np.int16)
    grown: list[tuple[Region, NDArray[np.float32]]] = []
    for k, draft in enumerate(drafts):
        region = _around(draft, lungs.shape, spacing)
        whole = np.zeros(lungs.shape, dtype=bool)
        whole[draft.region] = draft.mask
        mask = whole[region]
        side = lungs[region][mask][0]
        distance = _signed_distance(mask, lungs[region] == side, spacing)
        closer = (distance < nearest[region]) & (lungs[region] == side)
        nearest[region][closer] = distance[closer]
        owner[region][closer] = k
        grown.append((region, distance))
    return [
        Lesion(d.pattern, region, distance, owner[region] == k, float(d.mask.sum() * geometry.voxel_volume_ml))
        for k, (d, (region, distance)) in enumerate(zip(drafts, grown, strict=True))
    ]


def _around(draft: Draft, shape: tuple[int, ...], spacing: tuple[float, ...]) -> Region:
    """The lesion's slices, and in them its box with `REACH_MM` to spare."""
    boxes = []
    for axis, (part, n, s) in enumerate(zip(draft.region, shape, spacing, strict=True)):
        used = np.flatnonzero(draft.mask.any(axis=tuple(a for a in range(3) if a != axis))) + part.start
        margin = 0 if axis == 0 else int(np.ceil(REACH_MM / s)) + 1
        boxes.append(slice(max(0, int(used[0]) - margin), min(n, int(used[-1]) + 1 + margin)))
    return boxes[0], boxes[1], boxes[2]


def _signed_distance(
    mask: NDArray[np.bool_], lung: NDArray[np.bool_], spacing: tuple[float, ...]
) -> NDArray[np.float32]:
    """In-plane signed distance in mm; the outline runs midway between the last voxel inside and the first outside.

    Only an outline within the lung counts: nobody doubts where the pleura is, and a rater who draws small does not
    draw a gap along it.
    """
    sampling = (1e6, spacing[1], spacing[2])  # slices so far apart that only the same slice counts
    half = 0.5 * min(spacing[1:])
    outside = np.pad(lung & ~mask, ((1, 1), (0, 0), (0, 0)), constant_values=True)
    within = ndimage.distance_transform_edt(~outside, sampling)[1:-1]
    out = ndimage.distance_transform_edt(~mask, sampling)
    return np.clip(np.where(mask, half - within, out - half), -1e3, 1e3).astype(np.float32)


def render(
    rng: np.random.Generator,
    lesion: Lesion,
    lungs: NDArray[np.uint8],
    aerated_hu: NDArray[np.floating],
    geometry: Geometry,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a lesion does to the lung in its region.

    Args:
        rng: source of randomness.
        lesion: the lesion.
        lungs: ``(slices, rows, columns)``, 0 outside, 1 left, 2 right.
        aerated_hu: of the same shape: the lung as it would be without the lesion.
        geometry: of the volume.

    Returns:
        ``(added_hu, dense)`` of the shape of ``lesion.region``: HU to add to aerated lung, and the part of each voxel
        (0 to 1) that is consolidated, in which vessels can no longer be told from their surroundings. Both go one
        voxel beyond the pleura, for the voxels of which lung is a part.
    """
    pattern, axes = lesion.pattern, axes_of(geometry, lesion.region)
    pixel = min(geometry.spacing[1:]) if geometry.spacing else 1.0
    edge = max(pattern.edge_mm, 1.8 * pixel)  # at least a voxel that the outline cuts through
    fade = np.clip(0.5 - lesion.signed_distance_mm / edge, 0, 1) * lesion.territory
    fade = np.where(lungs[lesion.region] == 0, ndimage.maximum_filter(fade, (1, 3, 3)), fade)
    haze, dense_hu, septa, mesh = (
        rng.uniform(*span) for span in (pattern.haze_hu, pattern.dense_hu, pattern.septa, pattern.mesh)
    )
    hu = haze + 35.0 * smooth_field(rng, axes, 10.0, 32)
    near = np.nonzero(fade > 0)
    points = np.stack([a[i] for a, i in zip(axes, near, strict=True)], axis=-1)
    points[:, 0] *= 0.6  # walls stand along the body's axis more than they lie in the slice
    lines = np.zeros(len(points), dtype=np.float32)
    for strength, cell, width in ((septa, max(17.0, 5.0 * pixel), 0.75), (mesh, max(8.0, 3.1 * pixel), 0.6)):
        walls = cell_walls(rng, points, cell, max(width, 0.36 * pixel))
        lines = np.maximum(lines, np.float32(strength) * walls)
    hu[near] += lines * (-170.0 - hu[near]) * 0.9
    dense = _dense_part(rng, lesion, axes, geometry)
    filled = dense_hu + 12.0 * smooth_field(rng, axes, 6.0, 32) - aerated_hu[lesion.region]
    added = (hu - _LUNG_HU) * (1 - dense) + filled * dense  # haze lies over the lung, consolidation takes its place
    return (fade * added).astype(np.float32), (fade * dense).astype(np.float32)


def _dense_part(rng: np.random.Generator, lesion: Lesion, axes: Axes, geometry: Geometry) -> NDArray[np.float32]:
    """The part of each voxel that is consolidated, as if the lesion went on beyond its outline."""
    pattern, mask = lesion.pattern, lesion.mask
    dense = np.zeros(mask.shape, dtype=np.float32)
    part = rng.uniform(*pattern.patches)
    if part >= 1:
        return np.ones_like(dense)
    if part > 0:
        field = smooth_field(rng, axes, (14.0, 7.0, 7.0), 64)
        level = np.quantile(field[mask], 1 - part)
        dense = np.clip(0.5 + 2.2 * (field - level), 0, 1)
    if pattern.ring_mm[1] > 0:
        wavy = rng.uniform(*pattern.ring_mm) + 1.2 * smooth_field(rng, axes, 9.0, 32)
        assert geometry.spacing is not None
        distance = _signed_distance(mask, np.ones_like(mask), geometry.spacing)  # the rim runs along the pleura too
        dense = np.maximum(dense, np.clip(0.5 + (distance + wavy) / 2.5, 0, 1))
    return dense.astype(np.float32)
