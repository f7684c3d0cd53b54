"""A plane of labels in few bytes that unpack fast: the box that holds something, in as few bits a voxel as it needs.

Masks are mostly background, and the box around a finding holds few labels: a binary mask costs one eighth of its box,
up to sixteen classes at most half of it, and any window unpacks alone. More labels than that are deflated.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLUMNS", "pack", "unpack"]

COLUMNS = ("offset", "size", "first_row", "end_row", "first_column", "end_column", "depth", "low", "high")
"""What `pack` says of a plane and `unpack` needs: its bytes, the box (no rows where the plane is empty), bits a voxel
(0 where the box holds one label, 8 where it is deflated), the least and the greatest label in the box."""

Row = tuple[int, int, int, int, int, int, int, int, int]


def pack(plane: NDArray[np.uint8], offset: int = 0) -> tuple[Row, bytes]:
    """A plane ``(rows, columns)`` as the row of `COLUMNS` and its bytes, which will lie at ``offset``."""
    rows = np.flatnonzero(plane.any(axis=1))
    if not len(rows):
        return (offset, 0, 0, 0, 0, 0, 0, 0, 0), b""
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(plane[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    box = plane[top:bottom, left:right]
    low, high = int(box.min()), int(box.max())
    if low == high:
        depth, data = 0, b""
    elif bool(((box == low) | (box == high)).all()):
        depth, data = 1, np.packbits(box == high, axis=1, bitorder="little").tobytes()
    elif high < 16:
        depth = 2 if high < 4 else 4
        data = _join(box, depth)
    else:
        depth, data = 8, zlib.compress(box.tobytes(), 6)
    return (offset, len(data), top, bottom, left, right, depth, low, high), data


def _join(box: NDArray[np.uint8], depth: int) -> bytes:
    """Several voxels a byte, the first in the lowest bits; rows padded to whole bytes."""
    each = 8 // depth
    padded = np.pad(box, ((0, 0), (0, -box.shape[1] % each))).reshape(len(box), -1, each)
    shifts = (np.arange(each) * depth).astype(np.uint8)
    return np.bitwise_or.reduce(padded << shifts, axis=2).astype(np.uint8).tobytes()


def _part(packed: NDArray[np.uint8], depth: int) -> NDArray[np.uint8]:
    """The inverse of `_join`, in words of as many bytes as a byte has voxels: no table, no strided writing."""
    if depth == 4:
        pairs = packed.astype("<u2")
        pairs |= pairs << 4
        pairs &= 0x0F0F
        return pairs.view(np.uint8)
    fours = packed.astype("<u4")
    fours |= fours << 12
    fours &= 0x000F000F
    fours |= fours << 6
    fours &= 0x03030303
    return fours.view(np.uint8)


def unpack(
    row: Sequence[int], data: NDArray[np.uint8], out: NDArray[np.uint8], first_row: int = 0, first_column: int = 0
) -> None:
    """Write what lies in a window of a plane into ``out``, which is zero beforehand.

    Args:
        row: of `COLUMNS`.
        data: the bytes that all offsets count in.
        out: ``(rows, columns)`` of the window, changed in place.
        first_row: where the window begins in the plane; it may reach beyond the plane.
        first_column: likewise.

    Raises:
        zlib.error: where deflated bytes are damaged.
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
    if depth == 8:
        box = np.frombuffer(zlib.decompress(stored.data), np.uint8).reshape(height, width)
        target[...] = box[r0 - top : r1 - top, c0 - left : c1 - left]
        return
    each = 8 // depth
    begin, skipped = divmod(c0 - left, each)
    packed = stored.reshape(height, -1)[r0 - top : r1 - top, begin : (c1 - left + each - 1) // each]
    if depth == 1:
        voxels = np.unpackbits(packed, axis=1, bitorder="little")
        if high - low != 1:
            np.multiply(voxels, np.uint8(high - low), out=voxels)
        if low:
            np.add(voxels, np.uint8(low), out=voxels)
    else:
        voxels = _part(packed, depth)
    target[...] = voxels[:, skipped : skipped + c1 - c0]
