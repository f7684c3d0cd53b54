"""Stored pixels to Hounsfield units, slice by slice into one buffer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError
from probseg.io.dicom.compressed import Compressed, decode
from probseg.io.dicom.elements import DEFLATED, open_elements
from probseg.io.dicom.slices import NATIVE, Slice
from probseg.io.guard import check_size

__all__ = ["AIR_HU", "read_pixels", "stored_bytes"]

AIR_HU = -1024
_INT16 = np.iinfo(np.int16)


def stored_bytes(item: Slice) -> bytes:
    """The bytes of a slice as they lie in the file, compressed or not."""
    if item.syntax in NATIVE:
        data = bytearray(item.frame_bytes)
        _read_into(item, memoryview(data))
        return bytes(data)
    with item.path.open("rb") as stream:
        stream.seek(item.pixel_offset)
        return stream.read()


def _read_into(item: Slice, view: memoryview) -> None:
    """Fill the view with the bytes of an uncompressed slice."""
    with _pixel_stream(item) as stream:
        stream.seek(item.pixel_offset + item.frame * item.frame_bytes)
        got = stream.readinto(view)  # type: ignore[attr-defined]
    if got < len(view):
        raise ProbsegError("E_DICOM_TRUNCATED", f"'{item.path}' became shorter while it was read")


def _pixel_stream(item: Slice) -> IO[bytes]:
    """What the offsets of a slice refer to: its file, or the inflated data set."""
    if item.syntax != DEFLATED:
        return item.path.open("rb", buffering=0)
    opened = open_elements(item.path, item.path.stat().st_size)
    if opened is None:
        raise ProbsegError("E_DICOM_CORRUPT", f"'{item.path}' changed while it was read")
    return opened.stream


def read_pixels(slices: Sequence[Slice], path: Path) -> tuple[NDArray, list[str]]:
    """HU of slices in the order given.

    Returns:
        ``(slices, rows, columns)``, int16; float32 only where a rescale gives fractions or values beyond int16.
        Padding is -1024. And the codes of warnings that came up.

    Raises:
        ProbsegError: E_TOO_LARGE, E_NO_DECODER, E_DECODE, E_DICOM_TRUNCATED.
    """
    first = slices[0]
    whole = all(s.slope == int(s.slope) and s.intercept == int(s.intercept) for s in slices)
    shape = (len(slices), first.rows, first.columns)
    check_size(path, int(np.prod(shape, dtype=object)) * (2 if whole else 4))
    volume: NDArray = np.empty(shape, dtype=np.int16 if whole else np.float32)
    codes: list[str] = []
    decoded = _decoded(slices)
    for k, item in enumerate(slices):
        if item.syntax in NATIVE:
            stored = _native(item, volume[k])
        else:
            stored, complained = next(decoded)
            if complained:
                codes.append("W_DECODER")
            if stored.shape != shape[1:]:
                raise ProbsegError(
                    "E_DECODE", f"the pixels of '{item.path}' decode to {stored.shape}, not to {shape[1:]}"
                )
        hu = _to_hu(item, stored)
        if volume.dtype == np.int16 and hu.dtype != np.int16 and not _fits(hu):
            check_size(path, volume.nbytes * 2)
            volume = volume.astype(np.float32)
        if hu.dtype != volume.dtype or not np.shares_memory(hu, volume[k]):
            volume[k] = hu
    return volume, codes


def _decoded(slices: Sequence[Slice]) -> Iterator[tuple[NDArray, bool]]:
    """The compressed ones among the slices, in their order."""
    runs = groupby((s for s in slices if s.syntax not in NATIVE), key=lambda s: (s.path, s.syntax, s.bits_stored))
    wanted = [Compressed(path, tuple(s.frame for s in run), syntax, bits) for (path, syntax, bits), run in runs]
    return decode(wanted) if wanted else iter(())


def _native(item: Slice, plane: NDArray) -> NDArray:
    """Stored values of an uncompressed slice; where they fit into its plane of the volume they are read right there."""
    kind = np.dtype(("i" if item.signed else "u") + str(item.bits_allocated // 8))
    stored = plane.view(kind) if kind.itemsize == plane.itemsize == 2 else np.empty(plane.shape, kind)
    _read_into(item, stored.data.cast("B"))
    return stored.byteswap(inplace=True) if item.big and sys.byteorder == "little" else stored


def _to_hu(item: Slice, raw: NDArray) -> NDArray:
    """Stored values to HU: only the stored bits count, padding is air."""
    stored = _stored_bits(item, raw)
    padded = None
    if item.padding is not None:
        low, high = item.padding
        least = -(1 << (item.bits_stored - 1)) if item.signed else 0
        fits = least <= low and high < least + (1 << item.bits_stored)
        candidates = stored if fits else raw
        padded = (candidates >= low) & (candidates <= high)
    if item.slope == int(item.slope) and item.intercept == int(item.intercept):
        hu = _rescale_whole(stored, int(item.slope), int(item.intercept), padded)
    else:
        hu = (stored.astype(np.float64) * item.slope + item.intercept).astype(np.float32)
    if padded is not None:
        hu[padded] = AIR_HU
    return hu


def _rescale_whole(stored: NDArray, slope: int, intercept: int, padded: NDArray | None) -> NDArray:
    """int16 where the values fit (padding does not count), then in place where they have two bytes; else int64."""
    seen = stored if padded is None else stored[~padded]
    ends = [int(v) * slope + intercept for v in (seen.min(), seen.max())] if seen.size else [0]
    if min(ends) >= _INT16.min and max(ends) <= _INT16.max:
        # modulo 2^16 the sum is right even where a step leaves int16
        hu = stored.view(np.int16) if stored.dtype.itemsize == 2 else stored.astype(np.int16)
        with np.errstate(over="ignore"):
            if slope != 1:
                hu *= np.int16((slope + 2**15) % 2**16 - 2**15)
            hu += np.int16((intercept + 2**15) % 2**16 - 2**15)
        return hu
    return stored.astype(np.int64) * slope + intercept


def _fits(hu: NDArray) -> bool:
    return hu.dtype.kind == "i" and int(hu.min()) >= _INT16.min and int(hu.max()) <= _INT16.max


def _stored_bits(item: Slice, raw: NDArray) -> NDArray:
    """Clear what lies outside of the stored bits (old overlays), and keep the sign."""
    if item.bits_stored == item.bits_allocated or item.syntax not in NATIVE:
        return raw
    width = item.bits_allocated
    left = max(width - 1 - item.high_bit, 0)
    return (raw << left) >> (width - item.bits_stored)
