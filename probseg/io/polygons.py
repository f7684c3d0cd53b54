"""Closed contours become masks by testing voxel centres, without supersampling.

Coordinates are ``(row, column)`` with the centre of the first pixel at ``(0, 0)``, so that a format whose origin is
the corner of that pixel subtracts 0.5 first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probseg.errors import ProbsegError

__all__ = ["boundary", "fill", "fill_lidc"]

_FARTHEST = 1e7  # pixels; beyond it lies no image but a fault, and products of coordinates would lose digits


def fill(
    polygons: Iterable[ArrayLike], shape: Sequence[int], rule: Literal["even-odd", "nonzero"] = "even-odd"
) -> NDArray[np.bool_]:
    """The pixels whose centre lies inside, all polygons taken together.

    A centre on the boundary belongs to the region below it and to its right: of the rectangle from (r0, c0) to
    (r1, c1) the centres with ``r0 <= r < r1`` and ``c0 <= c < c1`` are inside. So polygons that share an edge neither
    share nor miss a pixel. Parts outside the image are cut off.

    Args:
        polygons: each ``(points, 2)``, rows and columns, closed by itself; one of fewer than three points encloses
            nothing.
        shape: ``(rows, columns)`` of the mask.
        rule: ``even-odd`` leaves out what is enclosed twice, so that a polygon within another is a hole;
            ``nonzero`` counts turns with their sign, so that a stroke that crosses itself has no hole.

    Returns:
        Booleans of ``shape``.

    Raises:
        ProbsegError: E_BAD_CONTOUR for coordinates that are not finite pairs.
    """
    rows, columns = (int(n) for n in shape)
    turns = np.zeros((rows, columns + 1), dtype=np.int32)
    for polygon in polygons:
        points = _points(polygon)
        if len(points) >= 3:
            _add_turns(turns, points)
    winding = turns.cumsum(axis=1)[:, :columns]
    return (winding & 1).astype(bool) if rule == "even-odd" else winding != 0


def fill_lidc(contour: ArrayLike, shape: Sequence[int]) -> NDArray[np.bool_]:
    """The pixels that a LIDC contour encloses: its own pixels are the first ones outside, as LIDC defines them.

    Args:
        contour: ``(points, 2)`` whole numbers, row and column of the pixels along the contour; what a closed chain of
            them passes through exactly is part of it.
        shape: ``(rows, columns)`` of the mask.

    Returns:
        Booleans of ``shape``; empty for a contour of a single point or of a line.
    """
    return fill([contour], shape) & ~boundary(contour, shape)


def boundary(contour: ArrayLike, shape: Sequence[int]) -> NDArray[np.bool_]:
    """The pixels whose centre lies exactly on a closed contour of whole-numbered points ``(points, 2)``."""
    whole = _points(contour)
    points = np.rint(whole).astype(np.int64)
    if not np.array_equal(points, whole):
        raise ProbsegError("E_BAD_CONTOUR", "a contour of pixels must have whole-numbered rows and columns")
    mask = np.zeros(tuple(int(n) for n in shape), dtype=bool)
    step = np.roll(points, -1, axis=0) - points
    parts = np.maximum(np.gcd(step[:, 0], step[:, 1]), 1)
    edge = np.repeat(np.arange(len(points)), parts)
    along = np.arange(len(edge)) - np.repeat(np.cumsum(parts) - parts, parts)
    on = points[edge] + step[edge] // parts[edge, None] * along[:, None]
    on = on[((on >= 0) & (on < mask.shape)).all(axis=1)]
    mask[on[:, 0], on[:, 1]] = True
    return mask


def _points(polygon: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(polygon, dtype=np.float64)
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) < _FARTHEST).all():
        raise ProbsegError("E_BAD_CONTOUR", f"a contour must be finite pairs (row, column), not shape {points.shape}")
    return points


def _add_turns(turns: NDArray[np.int32], points: NDArray[np.float64]) -> None:
    """Adds, where an edge crosses a row of centres, +1 or -1 at the first centre on or right of the crossing."""
    ends = np.roll(points, -1, axis=0)
    down = ends[:, 0] > points[:, 0]
    # Every edge is walked from its upper end, so that two polygons that share it cross a row at the same place.
    upper, lower = np.where(down[:, None], points, ends), np.where(down[:, None], ends, points)
    first = np.clip(np.ceil(upper[:, 0]), 0, len(turns)).astype(np.int64)
    last = np.clip(np.ceil(lower[:, 0]), 0, len(turns)).astype(np.int64)
    count = last - first
    edge = np.repeat(np.arange(len(points)), count)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    run, height = lower[edge, 1] - upper[edge, 1], lower[edge, 0] - upper[edge, 0]
    # Multiplied before it is divided: exact for whole-numbered points, whose crossings may hit a centre.
    crossing = upper[edge, 1] + (row - upper[edge, 0]) * run / height
    column = np.clip(np.ceil(crossing), 0, turns.shape[1] - 1).astype(np.int64)
    np.add.at(turns, (row, column), np.where(down[edge], 1, -1))
