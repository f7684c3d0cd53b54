"""An image or a mask from whatever file it is in, on the canonical grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry, reorient, to_canonical
from probseg.errors import ProbsegError
from probseg.io import flat
from probseg.io.flat import is_flat_name
from probseg.io.guard import file_size, is_folder, is_nifti_name, is_nrrd_name

__all__ = ["read_image", "read_map", "read_mask"]

# Programs that convert a scan round its positions differently; a fiftieth of a voxel moves no boundary.
_TOLERANCE = 0.02


def read_image(
    path: str | Path, dimensions: int = 3, series: str | None = None, channels: int = 0
) -> tuple[NDArray, Geometry, Geometry]:
    """Read a scan: a folder of DICOM files, one DICOM file, NIfTI, NRRD, or a picture for images of 2 dimensions.

    Args:
        path: the end of the name, in any letter case, tells the format: .nii and .nii.gz are NIfTI, .nrrd is NRRD,
            .png, .tif, .tiff and .npz are pictures without millimetres; everything else is DICOM.
        dimensions: 3 for a volume; 2 for a single image, which then must have one slice.
        series: which series of a DICOM folder, by the short name that the error for several series gives.
        channels: how many a single image has, which only NPZ can hold; 0 for an image without an axis for them.

    Returns:
        The array in canonical axes ``(slices, rows, columns)``, ``(rows, columns)`` or, of a single image with
        channels, ``(channels, rows, columns)``: int16 where it holds whole
        numbers that fit, else float32; its geometry (spacing None for a picture); and its geometry as stored, before it
        was turned.

    Raises:
        ProbsegError: the codes of `probseg.io.guard`, `probseg.io.nifti.read`, `probseg.io.nrrd.read`,
            `probseg.io.flat.read` and `probseg.io.dicom.read_series`; E_NONFINITE, E_NDIM and E_TOO_FEW_SLICES.
    """
    path = Path(path)
    if channels and not path.name.lower().endswith(".npz"):
        raise ProbsegError("E_NDIM", f"'{path}' has one channel, but the dataset says {channels}; write an NPZ of all")
    named = is_nifti_name(path) or is_nrrd_name(path) or is_flat_name(path)
    if is_folder(path) and not named:
        return _dicom(path, dimensions, series)
    file_size(path)
    if not named:
        return _dicom(path, dimensions, series)
    if series is not None:
        raise ProbsegError("E_SCHEMA", f"'{path}' is no DICOM and has no series; leave the choice of a series out")
    if is_flat_name(path):
        if dimensions != 2:
            raise ProbsegError("E_NDIM", f"'{path}' is a picture without millimetres, but a volume is needed here")
        array = flat.read(path, channels)
        plane = Geometry(array.shape[-2:], None)
        return _compact(_finite(array, f"'{path}'"), path), plane, plane
    array, stored = _read_grid(path)
    return _finish(path, _compact(_finite(array, f"'{path}'"), path), stored, dimensions)


def _read_grid(path: Path, channels: bool = False) -> tuple[NDArray, Geometry]:
    """A file of voxels with an affine, as it is stored; channels, which NIfTI alone may have, come last."""
    if is_nrrd_name(path):
        from probseg.io import nrrd

        return nrrd.read(path)
    from probseg.io import nifti

    return nifti.read(path, channels)


def _finite(array: NDArray, what: str) -> NDArray:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        wrong = int((~np.isfinite(array)).sum())
        raise ProbsegError("E_NONFINITE", f"{what} has {wrong} voxels that are NaN or infinite; repair it")
    return array


def _dicom(path: Path, dimensions: int, series: str | None) -> tuple[NDArray, Geometry, Geometry]:
    from probseg.io import dicom

    array, stored = dicom.read_series(path, series, single=dimensions == 2)
    return _finish(path, array, stored, dimensions)


def _finish(path: Path, array: NDArray, stored: Geometry, dimensions: int) -> tuple[NDArray, Geometry, Geometry]:
    """To canonical axes; a single image stays as it is stored and loses its axis of one slice."""
    if dimensions == 3:
        if min(stored.shape) < 2:
            raise ProbsegError(
                "E_TOO_FEW_SLICES", f"'{path}' has shape {stored.shape}; a volume has two or more slices"
            )
        return (*to_canonical(array, stored), stored)
    if stored.shape[0] != 1:
        raise ProbsegError("E_NDIM", f"'{path}' has {stored.shape[0]} slices, but a dataset of 2 dimensions needs one")
    assert stored.spacing is not None  # both readers know it
    flat = replace(stored, shape=stored.shape[1:], spacing=stored.spacing[1:], slice_thickness_mm=stored.spacing[0])
    return array[0], flat, flat


def _compact(array: NDArray, path: Path) -> NDArray:
    """int16 where every value is whole and fits, so that a volume does not depend on how it was stored."""
    if array.dtype == np.int16:
        return array
    limits = np.iinfo(np.int16)
    low, high = array.min(), array.max()
    if low >= limits.min and high <= limits.max:
        small = array.astype(np.int16)
        if array.dtype.kind in "iu" or bool((small == array).all()):
            return small
    if array.dtype.kind == "f" and max(abs(float(low)), abs(float(high))) > float(np.finfo(np.float32).max):
        raise ProbsegError("E_NONFINITE", f"'{path}' has voxels beyond the range of float32; repair the image")
    return array if array.dtype.kind in "iu" else array.astype(np.float32, copy=False)


def read_mask(path: str | Path, geometry: Geometry, what: str) -> NDArray:
    """Read a mask onto the grid of its image; nothing is interpolated.

    Args:
        path: NIfTI or NRRD of label values; for an image of 2 dimensions also PNG (grey or palette), TIFF or NPZ.
        geometry: of the image, as `read_image` returns it.
        what: names the mask in errors, for example "the mask of rater 'A' of case 'LIDC-0007'".

    Returns:
        The values of the file, shape ``geometry.shape``, whatever integer or real type the file has.

    Raises:
        ProbsegError: E_WRONG_EXTENSION, the codes of `probseg.io.nifti.read`, `probseg.io.nrrd.read` and
            `probseg.io.flat.read`, E_NONFINITE, E_SHAPE_MISMATCH, E_AFFINE_MISMATCH.
    """
    path = Path(path)
    file_size(path)
    if is_flat_name(path) and geometry.dimensions == 2:
        array = _finite(flat.read(path), f"{what} ('{path}')")
        if array.shape != geometry.shape:
            raise _misfit(what, path, array.shape, geometry.shape)
        return array
    if not is_nifti_name(path) and not is_nrrd_name(path):
        raise ProbsegError(
            "E_WRONG_EXTENSION",
            f"{what} must be a label map (.nii, .nii.gz, .nrrd, or .png, .tif, .npz in 2 dimensions), but is '{path}'",
        )
    array, stored = _read_grid(path)
    return _on_grid(_finite(array, f"{what} ('{path}')"), stored, geometry, what, path)


def read_map(path: str | Path, geometry: Geometry, what: str) -> NDArray[np.float32]:
    """Read numbers that belong to the voxels of an image, such as probabilities; nothing is interpolated.

    Args:
        path: NIfTI, of one number a voxel or with a fourth axis of channels.
        geometry: of the image, as `read_image` returns it.
        what: names the map in errors.

    Returns:
        ``geometry.shape``, or ``(channels, *geometry.shape)``.

    Raises:
        ProbsegError: the codes of `probseg.io.nifti.read`, E_NONFINITE, E_SHAPE_MISMATCH, E_AFFINE_MISMATCH.
    """
    path = Path(path)
    array, stored = _read_grid(path, channels=True)
    array = _finite(array, f"{what} ('{path}')").astype(np.float32, copy=False)
    placed = _on_grid(array, stored, geometry, what, path)
    return placed if array.ndim == 3 else np.ascontiguousarray(np.moveaxis(placed, -1, 0))


def _on_grid(array: NDArray, stored: Geometry, geometry: Geometry, what: str, path: Path) -> NDArray:
    """Voxels as they are stored, with or without an axis of channels at the end, on the grid of an image."""
    if geometry.dimensions == 2:
        if stored.shape[0] != 1 or stored.shape[1:] != geometry.shape:
            raise _misfit(what, path, stored.shape, geometry.shape)
        return array[0]
    turned, grid = reorient(array, stored, geometry.direction)
    if grid.shape != geometry.shape:
        raise _misfit(what, path, grid.shape, geometry.shape)
    if not grid.close_to(geometry, _TOLERANCE):
        raise ProbsegError(
            "E_AFFINE_MISMATCH",
            f"{what} ('{path}') lies elsewhere than its image: their voxels are up to "
            f"{_farthest(grid, geometry):.3g} mm apart; resample it to the image grid first",
        )
    return turned


def _misfit(what: str, path: Path, found: tuple[int, ...], wanted: tuple[int, ...]) -> ProbsegError:
    return ProbsegError(
        "E_SHAPE_MISMATCH",
        f"{what} ('{path}') has shape {found} but its image has {wanted}; resample the mask to the image grid first",
    )


def _farthest(a: Geometry, b: Geometry) -> float:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in a.shape])).reshape(3, -1)
    difference = (a.affine - b.affine) @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.sqrt((difference[:3] ** 2).sum(axis=0)).max())
