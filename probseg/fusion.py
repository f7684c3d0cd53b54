"""Many masks become one target: by majority or by the share of raters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError

__all__ = ["UNRATED", "average", "majority"]

UNRATED = 255
"""What `majority` writes where nobody rated; no leaf class, so nothing counts it."""


def _votes(masks: NDArray, rated: NDArray | None, num_classes: int) -> NDArray[np.int64]:
    if num_classes > UNRATED:
        raise ProbsegError("E_SCHEMA", f"fusion takes up to {UNRATED} classes, but there are {num_classes}")
    looked = True if rated is None else rated
    return np.stack([((masks == c) & looked).sum(axis=0) for c in range(num_classes)])


def majority(masks: NDArray, rated: NDArray | None, num_classes: int) -> tuple[NDArray[np.uint8], int]:
    """The class that most raters gave to each voxel.

    Args:
        masks: ``(raters, *space)`` integer label maps; a label outside ``0..num_classes-1`` (a group, unknown) is no
            vote.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        num_classes: C, background included.

    Returns:
        ``space`` labels and the number of ties: voxels where the lower of several classes was taken because
        equally many raters gave each. Voxels without a vote hold `UNRATED`.

    Example:
        >>> labels, ties = majority(np.array([[0, 1, 1], [0, 1, 0]]), None, 2)
        >>> labels.tolist(), ties
        ([0, 1, 0], 1)
    """
    counts = _votes(masks, rated, num_classes)
    most = counts.max(axis=0)
    ties = int(((counts == most).sum(axis=0)[most > 0] > 1).sum())
    return np.where(most > 0, counts.argmax(axis=0), UNRATED).astype(np.uint8), ties


def average(masks: NDArray, rated: NDArray | None, num_classes: int) -> NDArray[np.float32]:
    """``(classes, *space)``: the share of raters who gave each class to each voxel.

    Sums to 1 over classes, and to 0 where nobody voted, so that a cross entropy there is 0. Arguments as for
    `majority`.
    """
    counts = _votes(masks, rated, num_classes)
    return (counts / np.maximum(counts.sum(axis=0), 1)).astype(np.float32)
