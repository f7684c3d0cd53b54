"""A label map from its own grid to that of its image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from probseg.case import Geometry
from probseg.errors import ProbsegError

__all__ = ["resample_labels"]


def resample_labels(mask: NDArray, grid: Geometry, target: Geometry, what: str) -> NDArray:
    """Each voxel of the target gets the value with the greatest weight in a linear interpolation of the one-hot mask.

    Outside of the mask's grid everything is background. A tie goes to the lower value.

    Args:
        mask: whole numbers, ``grid.shape``; 0 is background.
        grid: of the mask.
        target: of the image; both volumes with known spacing.
        what: names the mask in errors.

    Returns:
        Values of ``mask`` on ``target.shape``, in its type.

    Raises:
        ProbsegError: E_AFFINE_MISMATCH where something was drawn and nothing of it lies on the target.
    """
    to_source = np.linalg.inv(grid.affine) @ target.affine
    result = np.zeros(target.shape, dtype=mask.dtype)
    heaviest = np.full(target.shape, -1.0, dtype=np.float32)
    for value in np.unique(np.append(mask.ravel(), 0)):
        weight = affine_transform(
            (mask == value).astype(np.float32),
            to_source[:3, :3],
            to_source[:3, 3],
            output_shape=target.shape,
            order=1,
            mode="grid-constant",
            cval=1.0 if value == 0 else 0.0,
        )
        wins = weight > heaviest + 1e-6
        result[wins] = value
        heaviest[wins] = weight[wins]
    drawn = int((mask != 0).sum())
    if drawn and not result.any():
        raise ProbsegError(
            "E_AFFINE_MISMATCH", f"none of the {drawn} foreground voxels of {what} lies on a voxel of its image"
        )
    return result
