"""Slices of a series in their order along the patient, or the reason why they are no volume."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io.dicom.pixels import stored_bytes
from probseg.io.dicom.slices import Slice

__all__ = ["choose_series", "order_slices", "short_uid", "single_geometry"]

_RELATIVE = 1e-3  # of the spacing
_JITTER_MM = 0.021  # positions rounded by up to 0.005 mm: two in a step, two in the typical one


def short_uid(uid: str) -> str:
    """Eight letters that stand for a UID in messages; the UID itself may lead to the patient."""
    return hashlib.sha256(uid.encode()).hexdigest()[:8]


def choose_series(slices: Sequence[Slice], path: Path, series: str | None) -> list[Slice]:
    """The slices of one series: the one asked for by short name, or the only one.

    Raises:
        ProbsegError: E_MULTIPLE_SERIES where there are several and none is asked for; E_SCHEMA where it is not there.
    """
    counts = Counter(short_uid(s.series) for s in slices)
    listed = ", ".join(f"{name} ({n} slices)" for name, n in sorted(counts.items()))
    if series is None:
        if len(counts) > 1:
            raise ProbsegError(
                "E_MULTIPLE_SERIES",
                f"'{path}' holds {len(counts)} series: {listed}; choose one by its short name (series={min(counts)!r}) "
                "or move each to a folder of its own",
            )
        return list(slices)
    if series not in counts:
        raise ProbsegError("E_SCHEMA", f"'{path}' has no series called '{series}'; there are {listed}")
    return [s for s in slices if short_uid(s.series) == series]


def order_slices(slices: Sequence[Slice], path: Path) -> tuple[list[Slice], Geometry, int]:
    """Order by position along the normal.

    Returns:
        The slices in order, the geometry as stored (slices along the normal, rows, columns), and how many exact
        duplicates were left out.

    Raises:
        ProbsegError: E_MIXED_ORIENTATION, E_MIXED_GEOMETRY, E_TOO_FEW_SLICES, E_MULTIPLE_VOLUMES, E_GANTRY_TILT,
            E_SLICE_GAP.
    """
    _check_same(slices, path)
    normal = _normal(slices[0])
    positions = np.array([s.position for s in slices])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    kept, duplicates = _without_duplicates([slices[k] for k in order], along[order], path)
    if len(kept) < 2:
        raise ProbsegError(
            "E_TOO_FEW_SLICES", f"'{path}' holds one slice, so its spacing is unknown; give the whole series"
        )
    positions = np.array([s.position for s in kept])
    spacing = _spacing(kept, positions @ normal, path)
    _check_tilt(positions, normal, kept[0], path)
    return kept, _geometry(kept[0], len(kept), spacing, normal), duplicates


def single_geometry(item: Slice) -> Geometry:
    """Geometry of one slice, its thickness standing for the spacing.

    Raises:
        ProbsegError: E_NO_SPACING where the slice has no thickness.
    """
    if item.thickness is None or item.thickness <= 0:
        raise ProbsegError("E_NO_SPACING", f"'{item.path}' lacks SliceThickness, so its area is no volume")
    return _geometry(item, 1, item.thickness, _normal(item))


def _normal(item: Slice) -> NDArray[np.float64]:
    normal = np.cross(item.orientation[:3], item.orientation[3:])
    return normal / np.linalg.norm(normal)


def _geometry(first: Slice, count: int, spacing: float, normal: NDArray[np.float64]) -> Geometry:
    x, y, z = first.position
    across, down = first.orientation[:3], first.orientation[3:]
    rows_mm, columns_mm = first.pixel_spacing
    direction = tuple((float(n), float(d), float(a)) for n, d, a in zip(normal, down, across, strict=True))
    return Geometry(
        (count, first.rows, first.columns),
        (spacing, rows_mm, columns_mm),
        (x, y, z),
        direction,  # type: ignore[arg-type]  # three rows by construction
    )


def _check_same(slices: Sequence[Slice], path: Path) -> None:
    first = slices[0]
    for s in slices[1:]:
        turned = max(abs(a - b) for a, b in zip(first.orientation, s.orientation, strict=True))
        if turned > 1e-3:
            raise ProbsegError(
                "E_MIXED_ORIENTATION",
                f"'{s.path}' is oriented otherwise than '{first.path}'; take localizers out of '{path}'",
            )
    for s in slices[1:]:
        if s.frame_of_reference != first.frame_of_reference:
            fault = "frame of reference"
        elif (s.rows, s.columns) != (first.rows, first.columns):
            fault = f"size ({s.rows} x {s.columns} instead of {first.rows} x {first.columns})"
        elif not np.allclose(s.pixel_spacing, first.pixel_spacing, rtol=_RELATIVE, atol=0):
            fault = "pixel spacing"
        else:
            continue
        raise ProbsegError(
            "E_MIXED_GEOMETRY", f"'{s.path}' has another {fault} than '{first.path}'; they are no one volume"
        )


def _without_duplicates(slices: Sequence[Slice], along: NDArray[np.float64], path: Path) -> tuple[list[Slice], int]:
    """Slices at one place: exact copies count once; different ones are different volumes."""
    kept = [slices[0]]
    for k in range(1, len(slices)):
        same_plane = along[k] - along[k - 1] < 1e-4
        sideways = np.abs(np.subtract(slices[k].position, kept[-1].position)).max() if same_plane else 0.0
        if not same_plane:
            kept.append(slices[k])
        elif sideways > 1e-2 or not _same_content(slices[k], kept[-1]):
            raise ProbsegError(
                "E_MULTIPLE_VOLUMES",
                f"'{path}' holds different slices at one position, such as '{kept[-1].path.name}' and "
                f"'{slices[k].path.name}'; give each acquisition a folder of its own",
            )
    return kept, len(slices) - len(kept)


def _same_content(a: Slice, b: Slice) -> bool:
    same_scale = (a.slope, a.intercept, a.padding, a.syntax) == (b.slope, b.intercept, b.padding, b.syntax)
    return same_scale and stored_bytes(a) == stored_bytes(b)


def _spacing(slices: Sequence[Slice], along: NDArray[np.float64], path: Path) -> float:
    """Spacing in mm; every slice must lie on a regular grid."""
    steps = np.diff(along)
    typical = float(np.median(steps))
    tolerance = max(_RELATIVE * typical, _JITTER_MM)
    worst = int(np.argmax(np.abs(steps - typical)))
    if abs(steps[worst] - typical) > tolerance:
        phases = {s.phase for s in slices}
        if len(phases) > 1:
            raise ProbsegError(
                "E_MULTIPLE_VOLUMES",
                f"'{path}' holds {len(phases)} acquisitions whose slices form no regular grid (steps of "
                f"{steps.min():.3f} to {steps.max():.3f} mm); give each acquisition a folder of its own",
            )
        raise ProbsegError(
            "E_SLICE_GAP",
            f"'{path}': slices {worst} and {worst + 1} of {len(slices)} along the patient are {steps[worst]:.3f} mm "
            f"apart where the rest are {typical:.3f} mm; find the missing or surplus slice",
        )
    return float(along[-1] - along[0]) / (len(along) - 1)


def _check_tilt(positions: NDArray[np.float64], normal: NDArray[np.float64], first: Slice, path: Path) -> None:
    """Slices must be stacked along their normal; half a pixel over the whole stack is let pass."""
    offset = positions - positions[0]
    sideways = offset - np.outer(offset @ normal, normal)
    drift = np.linalg.norm(sideways, axis=1)
    limit = 0.5 * min(first.pixel_spacing)
    if drift.max() <= limit:
        return
    slope = sideways[-1] / (offset[-1] @ normal)
    residual = np.linalg.norm(sideways - np.outer(offset @ normal, slope), axis=1)
    if residual.max() > limit:
        raise ProbsegError(
            "E_MIXED_GEOMETRY",
            f"slices of '{path}' are shifted sideways by up to {drift.max():.2f} mm; they are no one volume",
        )
    angle = np.degrees(np.arctan(np.linalg.norm(slope)))
    raise ProbsegError(
        "E_GANTRY_TILT",
        f"the slices of '{path}' are stacked {angle:.1f} degrees off their normal (gantry tilt), so the volume is "
        "no box; resample it to a rectangular grid first",
    )
