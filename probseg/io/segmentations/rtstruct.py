"""Radiotherapy structure sets (PS3.3, C.8.8.6): closed planar contours, filled slice by slice.

A voxel belongs to a region where its centre lies within an odd number of the region's contours on that slice, so that a
contour within another is a hole, and so is what a keyhole goes round. A centre on the boundary is decided by
`probseg.io.polygons.fill`: it belongs to the side of greater row and column.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from probseg.case import Geometry
from probseg.errors import ProbsegError, warn
from probseg.io.guard import check_size
from probseg.io.polygons import fill
from probseg.io.segmentations.segment import Segment

__all__ = ["read"]

_FILLED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
# A contour lies on a slice from which no point is further than this part of a slice's distance; programs round.
_OFF_PLANE = 0.1
# In voxels: what is less decides nothing but on which side of a centre a rounded number falls.
_DECIMALS = 4
_BEYOND = 1.0  # voxels that a contour may reach beyond the image, as skin does at its border


def read(data: Dataset, geometry: Geometry, path: Path) -> list[Segment]:
    """The regions of interest of an RTSTRUCT on the grid of the image.

    Args:
        data: the whole data set.
        geometry: of the image, a volume.
        path: the file, named in errors.

    Returns:
        A segment a region, with ROIName and ROINumber; empty where a region has no contour.

    Raises:
        ProbsegError: E_NO_LABELS, E_DICOM_CORRUPT, E_TOO_LARGE; E_AFFINE_MISMATCH where a contour lies between the
            slices, across them or beyond the image.
    """
    names = {int(roi.ROINumber): str(roi.get("ROIName", "")) for roi in data.get("StructureSetROISequence") or ()}
    if not names:
        raise ProbsegError("E_NO_LABELS", f"'{path}' describes no region of interest")
    check_size(path, len(names) * int(np.prod(geometry.shape)))
    contours: dict[int, list[NDArray[np.float64]]] = {number: [] for number in names}
    to_grid = np.linalg.inv(geometry.affine)
    skipped = 0
    for roi in data.get("ROIContourSequence") or ():
        number = int(roi.ReferencedROINumber)
        if number not in names:
            raise ProbsegError("E_DICOM_CORRUPT", f"'{path}' draws region {number}, which it does not describe")
        for contour in roi.get("ContourSequence") or ():
            if str(contour.get("ContourGeometricType", "")).upper() not in _FILLED:
                skipped += 1
                continue
            contours[number].append(_points(contour, to_grid, path))
    axis = _stacking_axis([c for several in contours.values() for c in several])
    segments = []
    copies = 0
    for number, name in names.items():
        mask, twice = _mask(contours[number], axis, geometry, f"region '{name or number}' of '{path}'")
        copies += twice
        segments.append(Segment(name or f"region {number}", number, mask))
    if skipped:
        warn("W_OPEN_CONTOUR", f"'{path}' holds {skipped} points or open contours, which enclose nothing")
    if copies:
        warn("W_DUPLICATE_CONTOUR", f"'{path}' holds {copies} exact copies of contours, which count once")
    return segments


def _points(contour: Dataset, to_grid: NDArray[np.floating], path: Path) -> NDArray[np.float64]:
    """``(points, 3)`` as index on the grid."""
    numbers = np.asarray(contour.get("ContourData") or (), dtype=np.float64)
    if numbers.size == 0 or numbers.size % 3 or not np.isfinite(numbers).all():
        raise ProbsegError("E_DICOM_CORRUPT", f"'{path}' holds a contour that is no list of finite points (x, y, z)")
    points = numbers.reshape(-1, 3) @ to_grid[:3, :3].T + to_grid[:3, 3]
    return np.round(points, _DECIMALS) + 0.0


def _stacking_axis(contours: list[NDArray[np.float64]]) -> int:
    """The axis of the grid across which all contours are flat; the slices where that is open."""
    if not contours:
        return 0
    return int(np.max([np.ptp(c, axis=0) for c in contours], axis=0).argmin())


def _mask(
    contours: list[NDArray[np.float64]], axis: int, geometry: Geometry, what: str
) -> tuple[NDArray[np.bool_], int]:
    """The region's voxels, and how many contours were exact copies."""
    mask = np.zeros(geometry.shape, dtype=bool)
    stack = np.moveaxis(mask, axis, 0)
    planes: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    copies = 0
    for contour in contours:
        plane, flat = _on_plane(contour, axis, geometry, what)
        if any(np.array_equal(flat, other) for other in planes[plane]):
            copies += 1
        else:
            planes[plane].append(flat)
    for plane, several in planes.items():
        stack[plane] = fill(several, stack.shape[1:])
    return mask, copies


def _on_plane(
    contour: NDArray[np.float64], axis: int, geometry: Geometry, what: str
) -> tuple[int, NDArray[np.float64]]:
    """Number of the slice and ``(points, 2)`` on it."""
    assert geometry.spacing is not None  # a grid without has no affine
    height = contour[:, axis]
    plane = round(float(np.median(height)))
    off = float(np.abs(height - plane).max())
    if off > _OFF_PLANE:
        raise ProbsegError(
            "E_AFFINE_MISMATCH",
            f"a contour of {what} is {off * geometry.spacing[axis]:.2f} mm off the nearest slice (slices are "
            f"{geometry.spacing[axis]:.2f} mm apart); is it drawn on another scan?",
        )
    beyond = float(max((-contour).max(), (contour - (np.array(geometry.shape) - 1)).max()))
    if not 0 <= plane < geometry.shape[axis] or beyond > _BEYOND:
        raise ProbsegError(
            "E_AFFINE_MISMATCH",
            f"a contour of {what} reaches {beyond:.1f} voxels beyond its image; check the scan",
        )
    return plane, np.delete(contour, axis, axis=1)
