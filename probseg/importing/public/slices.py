"""A NIfTI that stacks slices of many patients, of which each becomes an image of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg import io
from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io import nifti

__all__ = ["Stack", "read_stack"]


@dataclass(frozen=True)
class Stack:
    """Slices in the order of their file, each with rows towards posterior and columns towards left.

    Attributes:
        images: ``(slices, rows, columns)``.
        geometry, stored: of the whole file, canonical and as it is; they serve to read masks only, for a file of many
            patients has the millimetres of one of them at best.
        backwards: whether the canonical order is the reverse of the file's.
    """

    images: NDArray
    geometry: Geometry
    stored: Geometry
    backwards: bool

    def in_order(self, volume: NDArray) -> NDArray:
        """Another array of the canonical grid, such as a mask, slice by slice as ``images``."""
        return volume[::-1] if self.backwards else volume

    @property
    def plane(self) -> Geometry:
        """Of one slice: its millimetres are not known."""
        return Geometry(self.geometry.shape[1:], None)


def read_stack(path: Path, index_grid: bool = False) -> Stack:
    """Read a stack; slices count along the third axis of the file.

    A slice's number is its place in the file, as lists of splits have it, whichever way the header says is up.

    Args:
        path: NIfTI.
        index_grid: take a file without orientation as it lies, with rows towards posterior and columns towards left.

    Raises:
        ProbsegError: the codes of `probseg.io.read_image`; E_BAD_AFFINE where another axis runs from feet to head.
    """
    try:
        image, geometry, stored = io.read_image(path)
    except ProbsegError as error:
        if error.code != "E_NO_ORIENTATION":
            raise
        if not index_grid:
            raise ProbsegError(error.code, f"{error.message}, or add --index-grid to take it as it lies") from error
        image = nifti.read_voxels(path)
        geometry = stored = Geometry(image.shape, (1.0, 1.0, 1.0))
    upwards = np.asarray(stored.direction)[2]
    if int(np.abs(upwards).argmax()) != 0:
        raise ProbsegError(
            "E_BAD_AFFINE", f"the third axis of '{path}' must count axial slices, but by its header another does"
        )
    backwards = bool(upwards[0] < 0)
    return Stack(image[::-1] if backwards else image, geometry, stored, backwards)
