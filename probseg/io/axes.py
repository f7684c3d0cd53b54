"""What must be true of the three axes that a file gives its voxels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError

__all__ = ["check_axes"]

_SHEAR_TOLERANCE = 1e-2


def check_axes(affine: NDArray[np.float64], path: Path) -> None:
    """Refuse an affine whose three axes are no box.

    Args:
        affine: 4 x 4, index to mm, in whichever patient coordinates.
        path: the file that it is from, named in errors.

    Raises:
        ProbsegError: E_BAD_AFFINE, or E_GANTRY_TILT where the axes are not perpendicular.
    """
    if not np.isfinite(affine).all():
        raise ProbsegError("E_BAD_AFFINE", f"the affine of '{path}' must be finite; set it anew")
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if (lengths <= 0).any() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        raise ProbsegError("E_BAD_AFFINE", f"the affine of '{path}' must have three independent axes; set it anew")
    cosines = (affine[:3, :3] / lengths).T @ (affine[:3, :3] / lengths) - np.eye(3)
    if np.abs(cosines).max() > _SHEAR_TOLERANCE:
        angle = math.degrees(math.asin(min(1.0, float(np.abs(cosines).max()))))
        raise ProbsegError(
            "E_GANTRY_TILT",
            f"the axes of '{path}' are {angle:.1f} degrees from perpendicular; resample it to a rectangular grid first",
        )
