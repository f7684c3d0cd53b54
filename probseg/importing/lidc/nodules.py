"""Which drawings of a LIDC scan mean the same nodule, and their masks.

A rater of LIDC-IDRI draws a nodule as one contour or several in each slice. Nothing in the data says that two raters
drew the same nodule; drawings that come close to each other are taken for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from probseg.io.polygons import fill_lidc

__all__ = ["MOST_RATERS", "Contour", "Drawing", "Place", "Scan", "cluster", "draw"]

MOST_RATERS = 4  # read every scan
_SHRINK = 0.9
_LEAST_MM = 0.1

Place = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed chain of pixels in one slice, which are the first ones outside of what it encloses.

    Attributes:
        slice: index of the slice in its scan.
        points: ``(points, 2)`` whole numbers, rows and columns.
        inclusion: False where what it encloses is taken out of the nodule.
    """

    slice: int
    points: NDArray[np.int64]
    inclusion: bool = True


@dataclass(frozen=True, eq=False)
class Drawing:
    """One nodule as one rater drew it; ``rater`` numbers the raters of a scan where the source tells them apart."""

    contours: tuple[Contour, ...]
    rater: int | None = None


@dataclass(frozen=True)
class Scan:
    """The drawings of one scan.

    Attributes:
        patient_id: of the patient; a patient may have two scans.
        slice_thickness_mm: within which two drawings are one nodule.
        pixel_spacing_mm: of rows and columns.
        z_mm: place of each slice along the scan, rising.
        drawings: in the order of the source.
        raters: how many read the scan, where the source tells them apart; else 0.
    """

    patient_id: str
    slice_thickness_mm: float
    pixel_spacing_mm: tuple[float, float]
    z_mm: NDArray[np.float64]
    drawings: tuple[Drawing, ...]
    raters: int = 0


def cluster(scan: Scan) -> list[list[Drawing]]:
    """Drawings that mean one nodule, in the order in which their first ones come.

    Two drawings are one nodule when a point of one contour lies within the slice thickness of one of the other, and so
    is whatever is joined by a chain of such pairs. While that puts more than four drawings into one nodule, more than
    there were raters, the distance for this scan is multiplied by 0.9, down to 0.1 mm; contours that touch stay
    together then. The rule is that of pylidc (Hancock and Magnan, J. Med. Imaging 3(4), 2016), with distances in mm.
    """
    if not scan.drawings:
        return []
    places = [_points_mm(drawing, scan) for drawing in scan.drawings]
    trees = [cKDTree(p) for p in places]
    count = len(places)
    distance = np.zeros((count, count))
    for i in range(count):
        for j in range(i + 1, count):
            distance[i, j] = distance[j, i] = trees[i].query(places[j])[0].min()
    tolerance = scan.slice_thickness_mm
    while True:
        parts, names = connected_components(distance <= tolerance, directed=False)
        if np.bincount(names).max() <= MOST_RATERS or tolerance * _SHRINK < _LEAST_MM:
            break
        tolerance *= _SHRINK
    return [[d for d, name in zip(scan.drawings, names, strict=True) if name == part] for part in range(parts)]


def _points_mm(drawing: Drawing, scan: Scan) -> NDArray[np.float64]:
    rows_mm, columns_mm = scan.pixel_spacing_mm
    parts = [
        np.column_stack([np.full(len(c.points), scan.z_mm[c.slice]), c.points * (rows_mm, columns_mm)])
        for c in drawing.contours
    ]
    return np.concatenate(parts)


def box(drawings: Sequence[Drawing]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last ``(slice, row, column)`` that any contour of the drawings touches."""
    contours = [c for d in drawings for c in d.contours]
    low = np.array([min(c.slice for c in contours), *np.min([c.points.min(axis=0) for c in contours], axis=0)])
    high = np.array([max(c.slice for c in contours), *np.max([c.points.max(axis=0) for c in contours], axis=0)])
    return low, high


def place(drawings: Sequence[Drawing], shape: Sequence[int], margin: Sequence[int]) -> Place:
    """The box of the drawings with ``margin`` voxels on every side, as far as the scan of ``shape`` goes."""
    low, high = box(drawings)
    first = np.maximum(low - margin, 0)
    last = np.minimum(high + margin + 1, shape)
    slices, rows, columns = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return slices, rows, columns


def draw(drawing: Drawing, place: Place) -> NDArray[np.uint8]:
    """The mask of one drawing within a box of its scan: what contours enclose, less what exclusions enclose."""
    start = np.array([p.start for p in place])
    mask = np.zeros([p.stop - p.start for p in place], dtype=np.uint8)
    # Exclusions last: they cut whatever the rater included, in whichever order they were drawn.
    for contour in sorted(drawing.contours, key=lambda c: not c.inclusion):
        inside = fill_lidc(contour.points - start[1:], mask.shape[1:])
        mask[contour.slice - start[0]][inside] = contour.inclusion
    return mask
