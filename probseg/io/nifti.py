"""NIfTI-1 and NIfTI-2 in, NIfTI-1 out; the header is judged before a voxel is read.

NIfTI stores the first axis fastest and its affine leads from (i, j, k) to RAS mm. Here an array is (slices, rows,
columns) = (k, j, i), the same bytes in C order, and its affine leads to LPS mm.
"""

from __future__ import annotations

import gzip
import math
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from probseg.case import Geometry, reorient
from probseg.errors import ProbsegError
from probseg.io.atomic import replacing
from probseg.io.axes import check_axes
from probseg.io.guard import check_size, file_size, is_nifti_name

__all__ = ["read", "read_voxels", "write"]

_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_GZIP = b"\x1f\x8b"
_HEADER_BYTES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
# deflate cannot shrink by more than this, so a file that claims more voxels is cut off or lies
_MAX_DEFLATE_RATIO = 1032
_ROTATION_TOLERANCE = 2e-3  # a quaternion in float32 loses this much near 180 degrees


@dataclass(frozen=True)
class _Layout:
    """Where the voxels lie in the file and what they mean; ``shape`` is in NIfTI order, without trailing ones."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    affine_ras: NDArray[np.float64]


def read(path: str | Path, channels: bool = False) -> tuple[NDArray, Geometry]:
    """Read a NIfTI volume as it is stored.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        channels: whether a fourth axis is allowed; it then comes last.

    Returns:
        ``(slices, rows, columns[, channels])`` as stored, native byte order; the type of the file where it has no
        scaling and float64 where it has; and its geometry as stored, in LPS.

    Raises:
        ProbsegError: the codes of `probseg.io.guard`, E_WRONG_EXTENSION, E_NIFTI_HEADER, E_NDIM, E_DTYPE,
            E_BAD_SPACING, E_BAD_AFFINE, E_NO_ORIENTATION, E_AFFINE_AMBIGUOUS, E_TOO_LARGE, E_TRUNCATED, E_CORRUPT.
    """
    path = Path(path)
    array, affine_ras = _read(path, (3, 4) if channels else (3,), placed=True)
    array = array if array.ndim == 3 else np.moveaxis(array, 0, -1)
    affine = (_TO_LPS @ affine_ras)[:, [2, 1, 0, 3]]
    return array, Geometry.from_affine(array.shape[:3], affine)


def read_voxels(path: str | Path) -> NDArray:
    """Read an array of any number of axes from a NIfTI whose place in the patient is of no account.

    Args:
        path: ``.nii`` or ``.nii.gz``.

    Returns:
        The voxels with the axes of the file in reverse, so that the fastest comes last: ``(rows, columns)`` of an
        image, ``(channels, 1, rows, columns)`` or ``(channels, rows, columns)`` as programs write several. Trailing
        axes of the file with one voxel are left out beyond the third. Types as `read` gives them.

    Raises:
        ProbsegError: the codes of `read` but for those of orientation.
    """
    return _read(Path(path), (1, 2, 3, 4, 5, 6, 7), placed=False).array


class _Found(NamedTuple):
    array: NDArray
    affine_ras: NDArray[np.float64]


def _read(path: Path, axes: tuple[int, ...], placed: bool) -> _Found:
    """Voxels with the axes of the file in reverse, and where they are; the identity unless ``placed``."""
    size = file_size(path)
    with path.open("rb") as raw:
        compressed = raw.read(2) == _GZIP
    if compressed != path.name.lower().endswith(".gz"):
        fault = "is gzip" if compressed else "is no gzip"
        raise ProbsegError("E_WRONG_EXTENSION", f"'{path}' {fault}, against its suffix; rename it")
    try:
        with cast(BinaryIO, gzip.open(path) if compressed else path.open("rb")) as file:
            layout = _read_header(file, path, placed)
            if len(layout.shape) not in axes:
                raise ProbsegError("E_NDIM", f"'{path}' has {len(layout.shape)} axes, but a volume has 3")
            flat = _read_voxels(file, path, layout, size * _MAX_DEFLATE_RATIO if compressed else size)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ProbsegError("E_CORRUPT", f"'{path}' is damaged: its gzip stream or checksum is wrong") from error
    except EOFError as error:
        raise ProbsegError("E_TRUNCATED", f"'{path}' is cut off inside its gzip stream; copy it again") from error
    array = flat.reshape(layout.shape[::-1])
    if (layout.slope, layout.inter) != (1.0, 0.0):
        array = array.astype(np.float64) * layout.slope + layout.inter
    return _Found(array, layout.affine_ras)


def _read_header(file: BinaryIO, path: Path, placed: bool) -> _Layout:
    block = file.read(348)
    length = int.from_bytes(block[:4], sys.byteorder, signed=False)
    if length not in _HEADER_BYTES:
        length = int.from_bytes(length.to_bytes(4, "little"), "big")
    if len(block) < 348:
        raise ProbsegError("E_TRUNCATED", f"'{path}' has {len(block)} bytes, but a NIfTI header alone has 348")
    if length not in _HEADER_BYTES:
        raise ProbsegError("E_NIFTI_HEADER", f"'{path}' does not start with a NIfTI header")
    block += file.read(length - 348)
    if len(block) < length:
        raise ProbsegError("E_TRUNCATED", f"'{path}' is cut off inside its header")
    try:
        header = _HEADER_BYTES[length](block, check=False)
        return _layout(header, path, placed)
    except HeaderDataError as error:
        raise ProbsegError(
            "E_NIFTI_HEADER", f"the header of '{path}' contradicts itself; write the file anew"
        ) from error


def _layout(header: nib.Nifti1Header, path: Path, placed: bool) -> _Layout:
    if bytes(header["magic"].item())[:3] not in (b"n+1", b"n+2"):
        raise ProbsegError("E_NIFTI_HEADER", f"'{path}' lacks the magic of a single-file NIfTI; convert it to .nii")
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7 or any(n < 1 for n in dim[1 : dim[0] + 1]):
        raise ProbsegError("E_NIFTI_HEADER", f"the header of '{path}' must give 1 to 7 axes, each of 1 or more voxels")
    shape = dim[1 : dim[0] + 1]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    code = int(header["datatype"])
    if code == 0 or code not in nib.nifti1.data_type_codes.value_set():
        raise ProbsegError("E_NIFTI_HEADER", f"the header of '{path}' gives no known data type")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ProbsegError(
            "E_DTYPE", f"'{path}' must hold integers or real numbers, not {dtype.name or 'another type'}"
        )
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and offset == int(offset) and offset >= int(header["sizeof_hdr"])):
        raise ProbsegError("E_NIFTI_HEADER", f"the header of '{path}' puts the voxels inside the header")
    slope, inter = header.get_slope_inter()
    affine = _affine(header, path) if placed and len(shape) >= 3 else np.eye(4)
    return _Layout(
        tuple(shape),
        dtype,
        int(offset),
        1.0 if slope is None else float(slope),
        0.0 if inter is None else float(inter),
        affine,
    )


def _affine(header: nib.Nifti1Header, path: Path) -> NDArray[np.float64]:
    """Index to RAS; sform before qform, and both must agree where both are set."""
    spacing = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(spacing).all():
        raise ProbsegError("E_BAD_SPACING", f"the voxel size of '{path}' must be finite and positive in mm")
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        raise ProbsegError(
            "E_NO_ORIENTATION", f"'{path}' sets neither sform nor qform, so left and right are unknown; set one"
        )
    sform, qform = header.get_sform(coded=True)[0], None
    if sform is not None:
        check_axes(sform, path)
    if (spacing <= 0).any():
        raise ProbsegError("E_BAD_SPACING", f"the voxel size of '{path}' must be finite and positive in mm")
    if int(header["qform_code"]) != 0:
        try:
            qform = header.get_qform()
        except (HeaderDataError, ValueError) as error:
            raise ProbsegError("E_BAD_AFFINE", f"the qform of '{path}' is no rotation; set it anew") from error
        check_axes(qform, path)
    if sform is None or qform is None:
        affine = qform if sform is None else sform
        assert affine is not None  # one of the two codes is set
        return affine
    _check_agreement(sform, qform, path)
    return sform


def _check_agreement(sform: NDArray[np.float64], qform: NDArray[np.float64], path: Path) -> None:
    lengths = [np.sqrt((a[:3, :3] ** 2).sum(axis=0)) for a in (sform, qform)]
    turned = np.abs(sform[:3, :3] / lengths[0] - qform[:3, :3] / lengths[1]).max()
    shifted = np.abs(sform[:3, 3] - qform[:3, 3]).max()
    scaled = np.abs(lengths[0] / lengths[1] - 1).max()
    if turned > _ROTATION_TOLERANCE or scaled > 1e-3 or shifted > 1e-2 * lengths[0].min():
        raise ProbsegError(
            "E_AFFINE_AMBIGUOUS",
            f"sform and qform of '{path}' describe different spaces (origins {shifted:.3g} mm apart, directions differ "
            f"by {turned:.3g}, voxel sizes by {100 * scaled:.3g} %); programs differ in which they follow, so keep one",
        )


def _read_voxels(file: BinaryIO, path: Path, layout: _Layout, available: int) -> NDArray:
    """Exactly the voxels, in one buffer; then on to the end, where gzip keeps its checksum."""
    count = math.prod(layout.shape)
    needed = count * layout.dtype.itemsize
    scaled = (layout.slope, layout.inter) != (1.0, 0.0)
    if layout.offset + needed > available:
        raise ProbsegError(
            "E_TRUNCATED", f"'{path}' should hold {needed} bytes of voxels, more than it can; copy it again"
        )
    check_size(path, count * 8 if scaled else needed)
    file.seek(layout.offset)
    flat = np.empty(count, dtype=layout.dtype)
    view = flat.view(np.uint8)
    filled = 0
    while filled < needed:
        got = file.readinto(view[filled : filled + 2**24])  # type: ignore[attr-defined]
        if not got:
            raise ProbsegError("E_TRUNCATED", f"'{path}' holds {filled} of {needed} bytes of voxels; copy it again")
        filled += got
    extra = 0
    while chunk := file.read(2**20):
        extra += len(chunk)
        check_size(path, needed + extra)
    return flat if layout.dtype.isnative else flat.astype(layout.dtype.newbyteorder("="))


def write(path: str | Path, array: NDArray, geometry: Geometry, stored: Geometry | None = None) -> None:
    """Write a volume atomically; the same array gives the same bytes.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        array: ``(slices, rows, columns[, channels])``; booleans become uint8, every other type is kept.
        geometry: of ``array``, canonical as inside the package.
        stored: the scan's geometry as it was read; where given the array is turned back to it, so that the file
            has the scan's own affine.

    Raises:
        ProbsegError: E_WRONG_EXTENSION, E_SHAPE_MISMATCH, E_AFFINE_MISMATCH, E_DTYPE, E_TOO_LARGE, E_NOT_WRITABLE.
    """
    path = Path(path)
    if not is_nifti_name(path):
        raise ProbsegError("E_WRONG_EXTENSION", f"'{path}' must end in .nii or .nii.gz")
    if array.ndim not in (3, 4) or array.shape[:3] != geometry.shape:
        raise ProbsegError(
            "E_SHAPE_MISMATCH", f"an array of shape {array.shape} does not fit the grid {geometry.shape}"
        )
    if stored is not None:
        array, turned = reorient(array, geometry, stored.direction)
        if not turned.close_to(stored):
            raise ProbsegError("E_AFFINE_MISMATCH", f"the grid to write to '{path}' is not that of the scan")
        geometry = stored
    array = array.astype(np.uint8) if array.dtype == bool else array
    header = _header_for(path, array, geometry)
    voxels = np.ascontiguousarray(array if array.ndim == 3 else np.moveaxis(array, -1, 0))
    voxels = voxels.astype(voxels.dtype.newbyteorder("<"), copy=False)
    with replacing(path) as temporary, temporary.open("wb") as raw:
        if path.name.lower().endswith(".gz"):
            # ISA-L takes a tenth of zlib's time; neither name nor time of writing goes into the stream
            with igzip.IGzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as stream:
                stream.write(header)
                stream.write(voxels.data.cast("B"))
        else:
            raw.write(header)
            raw.write(voxels.data.cast("B"))


def _header_for(path: Path, array: NDArray, geometry: Geometry) -> bytes:
    header = nib.Nifti1Header(endianness="<")
    affine = _TO_LPS @ geometry.affine[:, [2, 1, 0, 3]]
    try:
        header.set_data_dtype(array.dtype)
    except HeaderDataError as error:
        raise ProbsegError("E_DTYPE", f"NIfTI cannot hold {array.dtype}, wanted for '{path}'") from error
    try:
        header.set_data_shape((*array.shape[2::-1], *array.shape[3:]))
    except HeaderDataError as error:
        raise ProbsegError(
            "E_TOO_LARGE", f"NIfTI-1 holds at most 32767 voxels an axis, '{path}' {array.shape}"
        ) from error
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    rotation = np.asarray(geometry.direction)
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > _ROTATION_TOLERANCE:
        header["qform_code"] = 0  # a quaternion cannot say a shear; two affines that differ would be worse than one
    header.set_xyzt_units("mm")
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    header.set_slope_inter(1.0, 0.0)
    return header.binaryblock + bytes(4)
