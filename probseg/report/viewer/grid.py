"""Which part of a large scan the viewer holds, and how finely: what a browser can show and a page can carry."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry

__all__ = ["MOST_VOXELS", "Grid", "fit_grid"]

MOST_VOXELS = 512 * 512 * 100
_MARGIN = 8  # voxels kept around what anybody drew
_AXES = ("slice", "row", "column")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Grid:
    """A box of a scan and the step along each axis, array axes ``(slices, rows, columns)``.

    Attributes:
        start, stop, step: of each axis.
        note: what was left out, in words; empty where the scan is whole.
    """

    start: tuple[int, int, int]
    stop: tuple[int, int, int]
    step: tuple[int, int, int]
    note: str = ""

    def take(self, array: NDArray) -> NDArray:
        """The part of ``(..., slices, rows, columns)``; every n-th voxel, so that a label stays a label."""
        slices, rows, columns = (slice(a, b, s) for a, b, s in zip(self.start, self.stop, self.step, strict=True))
        return np.asarray(array[..., slices, rows, columns])

    def affine(self, geometry: Geometry) -> NDArray[np.float64]:
        """4 x 4 matrix from ``(column, row, slice)`` of the part to RAS mm, as NIfTI has it.

        A single image lies in the axial plane; where its spacing is unknown a pixel is 1 mm.
        """
        if geometry.dimensions == 3 and geometry.spacing is not None:
            whole = geometry.affine
        else:
            whole = np.zeros((4, 4))
            rows, columns = geometry.spacing[-2:] if geometry.spacing is not None else (1.0, 1.0)
            whole[2, 0], whole[1, 1], whole[0, 2], whole[3, 3] = 1.0, rows, columns, 1.0
        part = np.diag([*self.step, 1]).astype(np.float64)
        part[:3, 3] = self.start
        return (_LPS_TO_RAS @ whole @ part)[:, [2, 1, 0, 3]]


def fit_grid(shape: tuple[int, int, int], inside: NDArray[np.bool_], coarser: int = 1, most: int = MOST_VOXELS) -> Grid:
    """The finest grid of at most ``most`` voxels.

    A larger scan is cut to the box around ``inside`` with a margin; if that is still too much, every second voxel of
    the axis that has most is left out, again and again.

    Args:
        shape: of the scan.
        inside: ``shape``, where anybody drew or predicts anything; cut to nothing smaller than this.
        coarser: a further step of rows and columns.
        most: voxels.
    """
    start, stop, notes = [0, 0, 0], list(shape), []
    if math.prod(shape) > most and inside.any():
        for axis in range(3):
            hit = np.flatnonzero(inside.any(axis=tuple(k for k in range(3) if k != axis)))
            start[axis] = max(int(hit[0]) - _MARGIN, 0)
            stop[axis] = min(int(hit[-1]) + 1 + _MARGIN, shape[axis])
        size = " x ".join(str(b - a) for a, b in zip(start, stop, strict=True))
        notes.append(f"cut from {' x '.join(map(str, shape))} to the {size} voxels around what is drawn or predicted")
    step = [1, coarser, coarser]

    def counts() -> list[int]:
        return [-(-(b - a) // s) for a, b, s in zip(start, stop, step, strict=True)]

    while math.prod(counts()) > most:
        step[int(np.argmax(counts()))] *= 2
    if max(step) > 1:
        words = [f"every {_ordinal(s)} {name}" for s, name in zip(step, _AXES, strict=True) if s > 1]
        notes.append(f"coarser than the scan: {' and '.join(words)}")
    return Grid(_three(start), _three(stop), _three(step), "; ".join(notes))


def _three(values: list[int]) -> tuple[int, int, int]:
    return int(values[0]), int(values[1]), int(values[2])


def _ordinal(n: int) -> str:
    return {2: "second", 3: "third"}.get(n, f"{n}th")
