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

    A voxel of the mask reaches half its length beyond its centre; outside of them all everything is background. A tie
    goes to the lower value.

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
        one_hot = (mask == value).astype(np.float32)
        weight = affine_transform(
            one_hot, to_source[:3, :3], to_source[:3, 3], output_shape=target.shape, order=1, mode="nearest"
        )
        wins = weight > heaviest + 1e-6
        result[wins] = value
        heaviest[wins] = weight[wins]
    result[_outside(to_source, grid.shape, target.shape)] = 0
    drawn = int((mask != 0).sum())
    if drawn and not result.any():
        raise ProbsegError(
            "E_AFFINE_MISMATCH", f"none of the {drawn} foreground voxels of {what} lies on a voxel of its image"
        )
    return result


def _outside(to_source: NDArray[np.float64], shape: tuple[int, ...], target: tuple[int, ...]) -> NDArray[np.bool_]:
    """Voxels of ``target`` that lie in no voxel of the source."""
    axes = np.ogrid[tuple(slice(n) for n in target)]
    out = np.zeros(target, dtype=bool)
    for k in range(3):
        index = sum(to_source[k, n] * axes[n] for n in range(3)) + to_source[k, 3]
        out |= (index < -0.5 - 1e-6) | (index > shape[k] - 0.5 + 1e-6)
    return out
