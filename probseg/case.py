"""A case: one scan of one patient, where it lies in space, and what its raters drew."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError

__all__ = ["Case", "Geometry", "Source", "reorient", "to_canonical"]

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]

# Canonical axes of an array (slices, rows, columns): towards superior, posterior and left, the order in which an
# axial CT is stored. Columns are the directions of the array axes in LPS, DICOM's patient coordinates.
_CANONICAL: Matrix = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


@dataclass(frozen=True)
class Geometry:
    """Where an array lies in the patient.

    Attributes:
        shape: ``(slices, rows, columns)`` of a volume or ``(rows, columns)`` of a single image.
        spacing: distance in mm between neighbours along each axis of ``shape``; None where it is not known.
        origin: centre of the first voxel in mm, DICOM LPS ``(x, y, z)``.
        direction: 3 x 3, column k is the unit vector in LPS along array axis k of ``(slices, rows, columns)``.
        slice_thickness_mm: thickness of a single image; what makes an area a volume. Not used for volumes.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: Matrix = _CANONICAL
    slice_thickness_mm: float | None = None

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3):
            raise ProbsegError("E_NDIM", f"a geometry has 2 or 3 axes, but its shape is {self.shape}")
        if self.spacing is None:
            return
        if len(self.spacing) != len(self.shape):
            raise ProbsegError("E_BAD_SPACING", f"spacing {self.spacing} must have one entry an axis of {self.shape}")
        if not all(math.isfinite(s) and s > 0 for s in self.spacing):
            raise ProbsegError("E_BAD_SPACING", f"spacing must be finite and positive in mm, but is {self.spacing}")

    @property
    def dimensions(self) -> int:
        """2 for a single image, 3 for a volume."""
        return len(self.shape)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in mL; NaN where spacing or slice thickness is unknown.

        For a volume it is ``|det| / 1000`` of the affine's 3 x 3 part, which an oblique direction leaves alone.
        """
        if self.spacing is None:
            return math.nan
        volume = math.prod(self.spacing)
        if self.dimensions == 3:
            return volume * abs(float(np.linalg.det(np.asarray(self.direction)))) / 1000.0
        return math.nan if self.slice_thickness_mm is None else volume * self.slice_thickness_mm / 1000.0

    @property
    def affine(self) -> NDArray[np.float64]:
        """4 x 4 matrix from array index ``(slice, row, column, 1)`` to LPS mm; volumes only."""
        if self.dimensions != 3 or self.spacing is None:
            raise ProbsegError("E_NO_SPACING", "only a volume with known spacing has an affine")
        affine = np.eye(4)
        affine[:3, :3] = np.asarray(self.direction) * np.asarray(self.spacing)
        affine[:3, 3] = self.origin
        return affine

    @classmethod
    def from_affine(cls, shape: tuple[int, ...], affine: NDArray[np.float64]) -> Geometry:
        """The geometry of a volume from its index-to-LPS matrix, array axes ``(slices, rows, columns)``."""
        matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
        spacing = np.sqrt((matrix**2).sum(axis=0))
        if not np.isfinite(affine).all() or (spacing <= 0).any():
            raise ProbsegError("E_BAD_AFFINE", f"the affine must be finite with three axes; lengths are {spacing}")
        direction = matrix / spacing
        if abs(np.linalg.det(direction)) < 1e-3:
            raise ProbsegError("E_BAD_AFFINE", "the affine's three axes must not lie in one plane")
        x, y, z = (float(v) for v in np.asarray(affine)[:3, 3])
        return cls(tuple(int(n) for n in shape), tuple(float(s) for s in spacing), (x, y, z), _as_matrix(direction))

    def close_to(self, other: Geometry, tolerance: float = 1e-3) -> bool:
        """Whether two geometries name the same voxels: no voxel moves by over ``tolerance`` of the smallest spacing."""
        if self.shape != other.shape or (self.spacing is None) != (other.spacing is None):
            return False
        if self.spacing is None or other.spacing is None:
            return True
        if self.dimensions == 2:
            return bool(np.allclose(self.spacing, other.spacing, rtol=tolerance))
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1)
        corners = np.vstack([corners, np.ones(corners.shape[1])])
        moved = np.abs((self.affine - other.affine) @ corners)[:3].max()
        return bool(moved <= max(tolerance * min(self.spacing), 1e-4))


def _as_matrix(values: NDArray[np.float64]) -> Matrix:
    rows = tuple(tuple(float(v) for v in row) for row in values)
    return rows  # type: ignore[return-value]  # 3 x 3 by construction


def _axes_towards(direction: Matrix, goal: Matrix) -> tuple[list[int], list[bool]]:
    """For each axis of ``goal``: which axis of ``direction`` runs most along it, and whether it must be flipped."""
    cosine = np.asarray(goal).T @ np.asarray(direction)
    order: list[int] = [-1, -1, -1]
    left = np.abs(cosine)
    for _ in range(3):
        target, axis = np.unravel_index(np.argmax(left), (3, 3))
        order[int(target)] = int(axis)
        left[target, :] = -1
        left[:, axis] = -1
    return order, [bool(cosine[k, order[k]] < 0) for k in range(3)]


def reorient(array: NDArray, geometry: Geometry, goal: Matrix) -> tuple[NDArray, Geometry]:
    """Turn a volume by swapping and flipping axes so that it runs along ``goal`` as closely as it can.

    No interpolation: every voxel keeps its value and its place in the patient. ``array`` may have further axes
    behind the three of space. Images of two dimensions come back as they are.
    """
    if geometry.dimensions == 2 or geometry.spacing is None:
        return array, geometry
    order, flips = _axes_towards(geometry.direction, goal)
    if array.ndim > 3 and order == [0, 1, 2] and not any(flips):
        return array, geometry  # as it lies in memory, be the further axes first there or last
    first = [geometry.shape[order[k]] - 1 if flips[k] else 0 for k in range(3)]
    index = np.zeros(4)
    index[3] = 1
    for k in range(3):
        index[order[k]] = first[k]
    origin = geometry.affine @ index
    direction = np.asarray(geometry.direction)[:, order] * np.where(flips, -1.0, 1.0)
    turned = replace(
        geometry,
        shape=tuple(geometry.shape[k] for k in order),
        spacing=tuple(geometry.spacing[k] for k in order),
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=_as_matrix(direction),
    )
    array = array.transpose(*order, *range(3, array.ndim))
    array = array[tuple(slice(None, None, -1) if f else slice(None) for f in flips)]
    return np.ascontiguousarray(array), turned


def to_canonical(array: NDArray, geometry: Geometry) -> tuple[NDArray, Geometry]:
    """Turn a volume so that slices run towards superior, rows towards posterior and columns towards left."""
    return reorient(array, geometry, _CANONICAL)


@dataclass(frozen=True)
class Source:
    """Where a case came from, so that results can be written back in its own orientation.

    Attributes:
        path: file or folder of the image; None for a case made in memory.
        geometry: the geometry as stored, before it was turned to canonical axes.
        series: short name of the DICOM series that was chosen, where the folder holds several.
    """

    path: Path | None = None
    geometry: Geometry | None = None
    series: str | None = None


@dataclass(frozen=True)
class Case:
    """One scan of one patient: image, geometry and the masks of its raters.

    Attributes:
        case_id, patient_id, site: names; a patient may have several cases, and splits go by patient.
        image: ``space`` or ``(channels, *space)`` numbers as stored (HU for CT), not yet normalised. A case whose
            annotations came without an image has none of its channels, ``(0, *space)``; see `has_image`.
        masks: rater name to integer label map ``space`` of dense labels (see `probseg.labels.LabelSet`). A rater who
            is absent has no entry; a rater who found nothing has a mask of background.
        geometry: canonical axes, `to_canonical`.
        rated: rater name to booleans that broadcast to ``space``: what this rater looked at. No entry means all.
        source: where it came from.
    """

    case_id: str
    patient_id: str
    site: str
    image: NDArray
    masks: Mapping[str, NDArray[np.uint8]]
    geometry: Geometry
    rated: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    source: Source = field(default_factory=Source)

    def __post_init__(self) -> None:
        space = self.geometry.shape
        if self.image.shape[-len(space) :] != space or self.image.ndim - len(space) not in (0, 1):
            raise ProbsegError(
                "E_SHAPE_MISMATCH", f"the image of case '{self.case_id}' has shape {self.image.shape}, not {space}"
            )
        for rater, mask in self.masks.items():
            if mask.shape != space:
                raise ProbsegError(
                    "E_SHAPE_MISMATCH",
                    f"rater '{rater}' of case '{self.case_id}' has shape {mask.shape} but the image has {space}; "
                    "resample the mask to the image grid first",
                )

    @property
    def has_image(self) -> bool:
        """False where the source held annotations only: agreement can be measured, and nothing can be learnt."""
        return self.image.size > 0

    def rated_by(self, rater: str) -> NDArray[np.bool_]:
        """Booleans of shape ``space``: the voxels that this rater looked at."""
        rated = self.rated.get(rater)
        shape = self.geometry.shape
        return np.ones(shape, dtype=bool) if rated is None else np.broadcast_to(rated, shape)

    def stacked(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Masks and rated of all raters, both ``(raters, *space)``, in the order of ``masks``."""
        shape = (len(self.masks), *self.geometry.shape)
        masks = np.zeros(shape, dtype=np.uint8)
        rated = np.zeros(shape, dtype=bool)
        for k, (rater, mask) in enumerate(self.masks.items()):
            masks[k] = mask
            rated[k] = self.rated_by(rater)
        return masks, rated
