"""NRRD volumes, and the layers of 3D Slicer's segmentations; the header is judged before a voxel is read.

NRRD stores the first axis fastest and its space directions lead to the space that it names. Here an array is (slices,
rows, columns), the same bytes in C order, and its affine leads to LPS mm.
Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import bz2
import gzip
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import nrrd
import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io.axes import check_axes
from probseg.io.guard import check_size, file_size

__all__ = ["read", "read_layers"]

_MOST_HEADER_BYTES = 4 * 2**20
_MAX_DEFLATE_RATIO = 1032
_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_CODE_OF = {name: code for code, names in _TYPES.items() for name in names.split(", ")}
_ENCODINGS = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "ascii": "text",
    "text": "text",
    "txt": "text",
}
# Towards which side each axis of a space points, as signs of LPS.
_SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}


@dataclass(frozen=True)
class _Layout:
    """``sizes`` and ``spatial`` (which axes lie in space) are in NRRD order, fastest first."""

    sizes: tuple[int, ...]
    spatial: tuple[int, ...]
    dtype: np.dtype
    encoding: str
    offset: int
    affine_lps: NDArray[np.float64]
    fields: Mapping[str, Any]


def read(path: str | Path) -> tuple[NDArray, Geometry]:
    """Read an NRRD volume as it is stored.

    Args:
        path: ``.nrrd`` with its data attached, encoded raw, gzip, bzip2 or text.

    Returns:
        ``(slices, rows, columns)``, type of the file in native byte order; and its geometry as stored, in LPS.

    Raises:
        ProbsegError: as `read_layers`; E_NDIM where an axis outside of space has more than one entry.
    """
    layers, geometry, _ = read_layers(path)
    if len(layers) != 1:
        raise ProbsegError(
            "E_NDIM",
            f"'{path}' holds {len(layers)} layers or channels, but one volume is needed; if it is a segmentation with "
            "overlapping segments, import it by the names of its segments",
        )
    return layers[0], geometry


def read_layers(path: str | Path) -> tuple[NDArray, Geometry, Mapping[str, Any]]:
    """Read an NRRD volume that may have one axis outside of space, and its header.

    Returns:
        ``(layers, slices, rows, columns)``; the geometry as stored, in LPS; the header's fields, with key/value pairs
        among them as text.

    Raises:
        ProbsegError: the codes of `probseg.io.guard`, E_NRRD_HEADER, E_NDIM, E_DTYPE, E_NO_ORIENTATION, E_BAD_SPACING,
            E_BAD_AFFINE, E_GANTRY_TILT, E_TOO_LARGE, E_TRUNCATED, E_CORRUPT.
    """
    path = Path(path)
    size = file_size(path)
    with path.open("rb") as file:
        layout = _read_header(file, path)
        file.seek(layout.offset)
        flat = _read_voxels(file, path, layout, size - layout.offset)
    array = flat.reshape(layout.sizes[::-1])
    last = len(layout.sizes) - 1
    other = [last - k for k in range(len(layout.sizes)) if k not in layout.spatial]
    array = np.moveaxis(array, other[0], 0) if other else array[None]
    return array, Geometry.from_affine(array.shape[1:], layout.affine_lps), layout.fields


def _fault(path: Path, fault: str, code: str = "E_NRRD_HEADER") -> ProbsegError:
    return ProbsegError(code, f"'{path}' {fault}")


def _read_header(file: BinaryIO, path: Path) -> _Layout:
    """The lines up to the first empty one; decoded here because segments are named in UTF-8."""
    lines: list[str] = []
    offset = 0
    while True:
        line = file.readline(_MOST_HEADER_BYTES)
        offset += len(line)
        if not line and lines:
            raise _fault(path, "is cut off inside its header; copy it again", "E_TRUNCATED")
        if not lines and not line.startswith(b"NRRD"):
            raise _fault(path, "does not start with an NRRD header")
        if offset > _MOST_HEADER_BYTES:
            raise _fault(path, f"has a header of over {_MOST_HEADER_BYTES} bytes; write it anew")
        text = line.decode("utf-8", "replace").rstrip()
        if lines and not text:
            break
        lines.append(text)
    try:
        fields = nrrd.read_header(lines)
    except (nrrd.NRRDError, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise _fault(path, "has a header that contradicts the format; write it anew") from error
    return _layout(fields, offset, path)


def _layout(fields: Mapping[str, Any], offset: int, path: Path) -> _Layout:
    if "data file" in fields or "datafile" in fields:
        raise _fault(path, "keeps its voxels in another file; save it as one .nrrd file")
    if any(fields.get(name, 0) for name in ("line skip", "lineskip", "byte skip", "byteskip")):
        raise _fault(path, "skips lines or bytes in front of its voxels; write it anew")
    missing = [name for name in ("type", "dimension", "sizes", "encoding") if name not in fields]
    if missing:
        raise _fault(path, f"lacks the field '{missing[0]}' in its header; write it anew")
    sizes = tuple(int(n) for n in fields["sizes"])
    if len(sizes) != fields["dimension"] or any(n < 1 for n in sizes):
        raise _fault(path, f"must give {fields['dimension']} axes of one or more voxels; write it anew")
    encoding = _ENCODINGS.get(str(fields["encoding"]).lower())
    if encoding is None:
        raise _fault(path, "has an encoding other than raw, gzip, bzip2 and text; write it anew")
    kind = str(fields["type"]).lower()
    if kind not in _CODE_OF:
        raise _fault(path, "must hold integers or real numbers", "E_DTYPE")
    dtype = np.dtype(_CODE_OF[kind])
    if dtype.itemsize > 1 and encoding != "text":
        if str(fields.get("endian", "")).lower() not in ("little", "big"):
            raise _fault(path, "must say whether it is little- or big-endian; write it anew")
        dtype = dtype.newbyteorder("<" if fields["endian"].lower() == "little" else ">")
    spatial, affine = _space(fields, sizes, path)
    return _Layout(sizes, spatial, dtype, encoding, offset, affine, fields)


def _space(
    fields: Mapping[str, Any], sizes: tuple[int, ...], path: Path
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Which axes lie in space, and the affine from (slice, row, column) to LPS."""
    if len(sizes) not in (3, 4):
        raise _fault(path, f"has {len(sizes)} axes, but a volume has 3, or 4 with its layers", "E_NDIM")
    signs = _SPACES.get(str(fields.get("space", "")).lower())
    if signs is None or "space directions" not in fields or "space origin" not in fields:
        raise _fault(
            path,
            "must name its space (LPS, RAS or LAS) with directions and origin, or left and right are unknown",
            "E_NO_ORIENTATION",
        )
    if any(str(unit).lower() != "mm" for unit in fields.get("space units", ())):
        raise _fault(path, "must be measured in mm", "E_BAD_SPACING")
    directions = np.atleast_2d(np.asarray(fields["space directions"], dtype=np.float64))
    origin = np.asarray(fields["space origin"], dtype=np.float64)
    if directions.shape != (len(sizes), 3) or origin.shape != (3,):
        raise _fault(path, "must give every axis a direction or 'none', and its origin, in 3 numbers", "E_BAD_AFFINE")
    spatial = tuple(k for k in range(len(sizes)) if not np.isnan(directions[k]).all())
    if len(spatial) != 3:
        raise _fault(path, f"has {len(spatial)} axes in space, but a volume has 3", "E_NDIM")
    affine = np.eye(4)
    affine[:3, :3] = (directions[list(spatial[::-1])] * signs).T
    affine[:3, 3] = origin * signs
    check_axes(affine, path)
    return spatial, affine


def _read_voxels(file: BinaryIO, path: Path, layout: _Layout, available: int) -> NDArray:
    count = math.prod(layout.sizes)
    needed = count * layout.dtype.itemsize
    check_size(path, needed)
    if layout.encoding == "text":
        return _read_text(file, path, layout.dtype, count)
    if needed > available * {"raw": 1, "gzip": _MAX_DEFLATE_RATIO}.get(layout.encoding, needed):
        raise _fault(path, f"should hold {needed} bytes of voxels, more than it can; copy it again", "E_TRUNCATED")
    flat = np.empty(count, dtype=layout.dtype)
    try:
        if layout.encoding == "raw":
            _fill(file, path, flat)
        elif layout.encoding == "gzip":
            with gzip.GzipFile(fileobj=file) as stream:
                _fill(cast(BinaryIO, stream), path, flat)
        else:
            with bz2.BZ2File(file) as stream:
                _fill(cast(BinaryIO, stream), path, flat)
    except EOFError as error:
        raise _fault(path, f"is cut off inside its {layout.encoding} stream; copy it again", "E_TRUNCATED") from error
    except (OSError, zlib.error) as error:
        raise _fault(path, f"is damaged: its {layout.encoding} stream or checksum is wrong", "E_CORRUPT") from error
    return flat if layout.dtype.isnative else flat.astype(layout.dtype.newbyteorder("="))


def _fill(stream: BinaryIO, path: Path, flat: NDArray) -> None:
    """Exactly the voxels, then on to the end, where compressed streams keep their checksum."""
    view = flat.view(np.uint8)
    filled = 0
    while filled < len(view):
        got = stream.readinto(view[filled : filled + 2**24])  # type: ignore[attr-defined]
        if not got:
            raise _fault(path, f"holds {filled} of {len(view)} bytes of voxels; copy it again", "E_TRUNCATED")
        filled += got
    extra = 0
    while chunk := stream.read(2**20):
        extra += len(chunk)
        check_size(path, filled + extra)
    if extra:
        raise _fault(path, f"holds {extra} bytes behind its last voxel; write it anew", "E_CORRUPT")


def _read_text(file: BinaryIO, path: Path, dtype: np.dtype, count: int) -> NDArray:
    words = file.read().split()
    if len(words) != count:
        code = "E_TRUNCATED" if len(words) < count else "E_CORRUPT"
        raise _fault(path, f"holds {len(words)} of {count} voxels as text; copy it again", code)
    try:
        return np.array(words).astype(dtype)
    except (ValueError, OverflowError) as error:
        raise _fault(path, "holds text that is no number of its type; write it anew", "E_CORRUPT") from error
