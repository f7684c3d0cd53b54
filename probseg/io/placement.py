"""A block of voxels put where it belongs on the grid of its image, without interpolation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError

__all__ = ["Placement", "locate"]

# Programs round the positions of the slices of one scan differently; a twentieth of a voxel moves no boundary.
TOLERANCE = 0.05


class Placement:
    """Where a block lies on a grid.

    Attributes:
        order: the axis of the block that runs along each axis of the grid.
        flip: whether it runs against it.
        start: index on the grid of the block's least corner.
        shape: of the block, in the order of the grid.
    """

    def __init__(self, order: list[int], flip: list[bool], start: list[int], shape: list[int]) -> None:
        self.order, self.flip, self.start, self.shape = order, flip, start, shape

    @property
    def target(self) -> tuple[slice, ...]:
        """The part of an array of the grid that the block covers."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))

    def turn(self, block: NDArray) -> NDArray:
        """The block along the axes of the grid; a view."""
        return block.transpose(self.order)[tuple(slice(None, None, -1) if f else slice(None) for f in self.flip)]


def locate(affine: NDArray[np.float64], shape: tuple[int, int, int], grid: Geometry, path: Path) -> Placement:
    """Find a block on a grid.

    Args:
        affine: 4 x 4, from the block's ``(slice, row, column)`` to LPS mm.
        shape: of the block.
        grid: of the image, a volume.
        path: the file that the block is from, named in errors.

    Returns:
        Its placement: every voxel of the block is one voxel of the grid.

    Raises:
        ProbsegError: E_AFFINE_MISMATCH where a voxel would fall between those of the grid, or outside of it.
    """
    to_grid = np.linalg.inv(grid.affine) @ affine
    order = [int(k) for k in np.abs(to_grid[:3, :3]).argmax(axis=1)]
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    found = to_grid[:3, :3] @ corners + to_grid[:3, 3:]
    flip = [bool(to_grid[k, order[k]] < 0) for k in range(3)]
    steps = np.zeros((3, 3))
    if sorted(order) == [0, 1, 2]:
        for k in range(3):
            steps[k, order[k]] = -1 if flip[k] else 1
    first = np.rint(to_grid[:3, 3])
    off = np.abs(steps @ corners + first[:, None] - found).max()
    if not off <= TOLERANCE:
        raise ProbsegError(
            "E_AFFINE_MISMATCH",
            f"'{path}' lies on another grid than its image: its voxels are up to {off:.2f} voxels off those of the "
            "image; resample it to the image grid first",
        )
    least = np.rint(found.min(axis=1)).astype(int)
    most = np.rint(found.max(axis=1)).astype(int)
    if (least < 0).any() or (most >= grid.shape).any():
        raise ProbsegError(
            "E_AFFINE_MISMATCH",
            f"'{path}' reaches beyond its image: it covers voxels {least.tolist()} to {most.tolist()} of an image "
            f"of {list(grid.shape)}; is it the mask of another scan?",
        )
    return Placement(order, flip, least.tolist(), [shape[k] for k in order])
