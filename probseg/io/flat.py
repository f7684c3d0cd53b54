"""Images of two dimensions that know no millimetres: PNG, TIFF and NPZ."""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError
from probseg.io.guard import check_size, file_size

__all__ = ["is_flat_name", "read"]

_SUFFIXES = (".png", ".tif", ".tiff", ".npz")
# Pillow's modes of one number a pixel; its palette images hold the index.
_PLAIN = frozenset(("1", "L", "P", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"))
_PILLOW_FAULTS = (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, zlib.error)
_PHOTOMETRIC = 262  # TIFF tag; 0 is WhiteIsZero
_NPZ_FAULTS = (*_PILLOW_FAULTS, NotImplementedError, RuntimeError, zipfile.BadZipFile)


def is_flat_name(path: Path) -> bool:
    """Whether the name ends in .png, .tif, .tiff or .npz, in any letter case."""
    return path.name.lower().endswith(_SUFFIXES)


def read(path: str | Path, channels: int = 0) -> NDArray:
    """Read an image or a mask of two dimensions.

    A palette image gives the index of each pixel, as masks are drawn; its colours only show it.

    Args:
        path: ``.png`` or ``.tif``/``.tiff`` of one number a pixel, or ``.npz`` with one array.
        channels: how many an NPZ holds, before rows and columns; 0 for an image without an axis for them. A picture
            never has one.

    Returns:
        ``(rows, columns)``, or ``(channels, rows, columns)``, as stored: uint8, uint16, int32, float32 from pictures,
        any number type from NPZ.

    Raises:
        ProbsegError: the codes of `probseg.io.guard`; E_PARSE where the file is damaged or another kind than its name
            says; E_DTYPE for colours; E_NDIM for several pages or other than two axes; E_TOO_LARGE.
    """
    path = Path(path)
    size = file_size(path)
    check_size(path, size)
    return _read_npz(path, channels) if path.name.lower().endswith(".npz") else _read_picture(path)


def _read_picture(path: Path) -> NDArray:
    from PIL import Image

    kind = "PNG" if path.name.lower().endswith(".png") else "TIFF"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on size, which is judged here, and on tags that are not used
            if kind == "PNG":
                with Image.open(path, formats=(kind,)) as image:
                    image.verify()  # checksums up to the end, of which loading skips the last
            with Image.open(path, formats=(kind,)) as image:
                _check_picture(image, path)
                array = np.asarray(image)
    except Image.DecompressionBombError as error:
        raise ProbsegError("E_TOO_LARGE", f"'{path}' has too many pixels; crop it") from error
    except _PILLOW_FAULTS as error:
        raise ProbsegError("E_PARSE", f"'{path}' is damaged or is no {kind} file; export it again") from error
    if array.dtype == bool:
        return array.astype(np.uint8)
    if kind == "PNG":
        return _unscaled(array, path)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _check_picture(image: object, path: Path) -> None:
    from PIL.Image import Image

    assert isinstance(image, Image)
    if getattr(image, "n_frames", 1) != 1:
        raise ProbsegError("E_NDIM", f"'{path}' holds {getattr(image, 'n_frames', 0)} pages, but an image has one")
    if image.mode not in _PLAIN:
        raise ProbsegError(
            "E_DTYPE",
            f"'{path}' is a colour image ({image.mode}), but one number a pixel is needed: save an image in greyscale, "
            "and a mask with the label as grey value or as index of a palette",
        )
    if image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
        raise ProbsegError("E_DTYPE", f"'{path}' stores white as 0, so its values are inverted; save it as BlackIsZero")
    check_size(path, image.width * image.height * 4)


def _unscaled(array: NDArray, path: Path) -> NDArray:
    """PNG of 2 or 4 bits of grey: Pillow spreads its values over 0 to 255, but a label is the number stored."""
    with path.open("rb") as file:
        head = file.read(26)
    bits, colour = head[24], head[25]
    if colour == 0 and bits in (2, 4):
        return (array // (255 // (2**bits - 1))).astype(np.uint8)
    return array


def _read_npz(path: Path, channels: int) -> NDArray:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != 1 or not names[0].endswith(".npy"):
                raise ProbsegError(
                    "E_SCHEMA", f"'{path}' holds {len(names)} entries, but an image or a mask is one array; split it"
                )
            with archive.open(names[0]) as member:
                version = np.lib.format.read_magic(member)
                reader = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = reader(member)
        if dtype.kind not in "biuf" or dtype.itemsize > 8:
            raise ProbsegError("E_DTYPE", f"'{path}' must hold integers or real numbers")
        if len(shape) != 2 + (channels > 0) or min(shape) < 1 or (channels and shape[0] != channels):
            wanted = f"({channels}, rows, columns)" if channels else "(rows, columns)"
            raise ProbsegError("E_NDIM", f"'{path}' holds an array of shape {shape}, but an image is {wanted}")
        check_size(path, math.prod(shape) * dtype.itemsize)
        with np.load(path, allow_pickle=False) as loaded:
            array = loaded[loaded.files[0]]
    except _NPZ_FAULTS as error:
        raise ProbsegError("E_PARSE", f"'{path}' is damaged or no NPZ file; write it with numpy.savez") from error
    array = array.astype(np.uint8) if array.dtype == bool else array
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
