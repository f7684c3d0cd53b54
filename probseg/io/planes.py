"""A plane of labels in few bytes that unpack fast: the box that holds something, in as few bits a voxel as it needs.

Masks are mostly background, and the box around a finding holds few labels: a binary mask costs one eighth of its box,
up to sixteen classes at most half of it, and any window unpacks alone. What would take more is deflated.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLUMNS", "WORD", "pack", "unpack"]

WORD = 8
"""Bytes that are worked on at once; offsets and the columns of a box are multiples of it."""

COLUMNS = ("offset", "size", "first_row", "end_row", "first_column", "end_column", "depth", "low", "high")
"""What `pack` says of a plane and `unpack` needs: its bytes, the box (no rows where the plane is empty), bits a voxel
(0 where the box holds one label, 8 where it is deflated), the least and the greatest label in the box."""

Row = tuple[int, int, int, int, int, int, int, int, int]
_ONE_BAND = {2: np.uint64(0x0303030303030303), 4: np.uint64(0x0F0F0F0F0F0F0F0F)}


def pack(plane: NDArray[np.uint8], offset: int = 0, small: bool = False) -> tuple[Row, bytes]:
    """A plane ``(rows, columns)`` as the row of `COLUMNS` and its bytes, which will lie at ``offset``.

    Args:
        plane: of labels.
        offset: a multiple of `WORD`.
        small: deflate what would take four bits a voxel, which unpacks more slowly.
    """
    rows = np.flatnonzero(plane.any(axis=1))
    if not len(rows):
        return (offset, 0, 0, 0, 0, 0, 0, 0, 0), b""
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(plane[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    box = plane[top:bottom, left:right]
    low, high = int(box.min()), int(box.max())
    if low == high:
        return (offset, 0, top, bottom, left, right, 0, low, high), b""
    left, right = left - left % WORD, min(right + -right % WORD, plane.shape[1])
    box = plane[top:bottom, left:right]
    low = int(box.min())
    if bool(((box == low) | (box == high)).all()):
        depth, data = 1, np.packbits(box == high, axis=1, bitorder="little").tobytes()
    elif high < (4 if small else 16):
        depth = 2 if high < 4 else 4
        data = _join(box, depth)
    else:
        depth, data = 8, zlib.compress(box.tobytes(), 6)
    data += bytes(-len(data) % WORD)
    return (offset, len(data), top, bottom, left, right, depth, low, high), data


def _band(height: int, depth: int) -> int:
    """Rows of a band: a box is cut into as many bands as a byte holds voxels."""
    return -(-height // (8 // depth))


def _join(box: NDArray[np.uint8], depth: int) -> bytes:
    """The bands of a box laid over one another, each in bits of its own, in rows of whole words.

    So a band comes out of whole words by one shift and one mask, and lands in memory in its own order.
    """
    height, width = box.shape
    band = _band(height, depth)
    padded = np.zeros((8 // depth, band, width + -width % WORD), dtype=np.uint8)
    padded.reshape(-1, padded.shape[2])[:height, :width] = box
    shifts = (np.arange(8 // depth) * depth).astype(np.uint8)[:, None, None]
    return np.bitwise_or.reduce(padded << shifts, axis=0).astype(np.uint8).tobytes()


def _part(
    stored: NDArray[np.uint8],
    depth: int,
    box: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
    target: NDArray[np.uint8],
) -> None:
    """The inverse of `_join` for a window of a box of shape ``box``."""
    band, width = _band(box[0], depth), -(-box[1] // WORD)
    words = stored.view("<u8").reshape(band, width)[:, columns[0] // WORD : -(-columns[1] // WORD)]
    skipped, length = columns[0] % WORD, columns[1] - columns[0]
    for number in range(rows[0] // band, -(-rows[1] // band)):
        first, end = max(rows[0], number * band), min(rows[1], (number + 1) * band)
        part = words[first - number * band : end - number * band]
        if number:
            part = part >> np.uint64(number * depth)
        part = part & _ONE_BAND[depth]
        target[first - rows[0] : end - rows[0]] = part.view(np.uint8)[:, skipped : skipped + length]


def unpack(
    row: Sequence[int], data: NDArray[np.uint8], out: NDArray[np.uint8], first_row: int = 0, first_column: int = 0
) -> None:
    """Write what lies in a window of a plane into ``out``, which is zero beforehand.

    Args:
        row: of `COLUMNS`.
        data: the bytes that all offsets count in.
        out: ``(rows, columns)`` of the window, changed in place; its rows lie one after the other.
        first_row: where the window begins in the plane; it may reach beyond the plane.
        first_column: likewise.

    Raises:
        ValueError, zlib.error: where the bytes are damaged.
    """
    offset, size, top, bottom, left, right, depth, low, high = row
    r0, r1 = max(top, first_row), min(bottom, first_row + out.shape[0])
    c0, c1 = max(left, first_column), min(right, first_column + out.shape[1])
    if r0 >= r1 or c0 >= c1:
        return
    target = out[r0 - first_row : r1 - first_row, c0 - first_column : c1 - first_column]
    if depth == 0:
        target[...] = low
        return
    height, width = bottom - top, right - left
    stored = data[offset : offset + size]
    if depth in (2, 4):
        _part(stored, depth, (height, width), (r0 - top, r1 - top), (c0 - left, c1 - left), target)
        return
    if depth == 8:
        box = np.frombuffer(zlib.decompressobj().decompress(stored.data), np.uint8).reshape(height, width)
        target[...] = box[r0 - top : r1 - top, c0 - left : c1 - left]
        return
    stride = -(-width // 8)
    begin, skipped = divmod(c0 - left, 8)
    packed = stored[: height * stride].reshape(height, stride)[r0 - top : r1 - top, begin : -(-(c1 - left) // 8)]
    voxels = np.unpackbits(packed, axis=1, bitorder="little")
    if high - low != 1:
        np.multiply(voxels, np.uint8(high - low), out=voxels)
    if low:
        np.add(voxels, np.uint8(low), out=voxels)
    target[...] = voxels[:, skipped : skipped + c1 - c0]
