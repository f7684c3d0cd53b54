"""The distinct combinations of votes in an image: a handful, however many voxels there are.

Whatever depends only on who gave which label to a voxel is computed once a combination and weighed by its voxels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Patterns", "vote_patterns"]


class Patterns(NamedTuple):
    """Combinations of labels that occur, one a column.

    Attributes:
        labels: ``(raters, combinations)``; ``num_labels`` stands for not rated.
        voxels: ``(combinations,)`` number of voxels with each.
        which: ``space``, the combination of each voxel.
    """

    labels: NDArray[np.intp]
    voxels: NDArray[np.intp]
    which: NDArray[np.unsignedinteger]


def vote_patterns(masks: NDArray, num_labels: int, rated: NDArray | None = None) -> Patterns:
    """Find the distinct columns of ``(raters, *space)`` label maps without sorting the voxels.

    Args:
        masks: ``(raters, *space)`` integers; one outside ``0..num_labels-1`` counts as not rated.
        num_labels: number of labels.
        rated: ``(raters, *space)`` booleans, None for everywhere.

    Example:
        >>> found = vote_patterns(np.array([[0, 1, 1, 0], [0, 1, 0, 0]]), 2)
        >>> found.labels.T.tolist(), found.voxels.tolist()
        ([[0, 0], [1, 0], [1, 1]], [2, 1, 1])
    """
    base = num_labels + 1
    code = np.zeros(masks.shape[1:], dtype=np.intp).ravel()
    found = np.zeros((0, 1 if code.size else 0), dtype=np.intp)
    for k, mask in enumerate(masks):
        label = np.where((mask < 0) | (mask > num_labels), num_labels, mask)
        if rated is not None:
            label[~np.broadcast_to(rated[k], mask.shape)] = num_labels
        code *= base
        code += label.ravel()
        # Renumbered after each rater, so that numbers stay as small as the combinations are few.
        present, code = _renumber(code, found.shape[1] * base)
        found = np.concatenate([found[:, present // base], (present % base)[None]])
    which = code.astype(np.min_scalar_type(found.shape[1])).reshape(masks.shape[1:])
    return Patterns(found, np.bincount(code, minlength=found.shape[1]), which)


def _renumber(code: NDArray[np.intp], size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The numbers below ``size`` that occur, in order, and each entry's place among them."""
    if size > 4 * len(code) + (1 << 16):
        return np.unique(code, return_inverse=True)
    used = np.bincount(code, minlength=size) > 0
    return np.flatnonzero(used), (np.cumsum(used) - 1)[code]
