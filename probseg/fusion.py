"""Many masks become one target: by majority, by the share of raters, or by STAPLE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.staple import staple
from probseg.errors import ProbsegError

__all__ = ["UNRATED", "average", "majority", "staple_labels"]

UNRATED = 255
"""What `majority` and `staple_labels` write where nobody rated; no leaf class, so nothing counts it."""


def _check_classes(num_classes: int) -> None:
    if num_classes > UNRATED:
        raise ProbsegError("E_SCHEMA", f"fusion takes up to {UNRATED} classes, but there are {num_classes}")


def _votes(masks: NDArray, rated: NDArray | None, num_classes: int) -> NDArray[np.int64]:
    _check_classes(num_classes)
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


def staple_labels(
    masks: NDArray,
    rated: NDArray | None,
    num_classes: int,
    tolerance: float = 1e-5,
    max_iterations: int = 500,
) -> NDArray[np.uint8]:
    """The most probable class of each voxel by STAPLE, which trusts the better raters more than a vote does.

    Warfield, Zou and Wells (2004), doi:10.1109/TMI.2004.828354; see `probseg.analysis.staple`. Give it the whole of a
    case: what a rater is worth is estimated from all voxels, and a patch tells little of it.

    Args:
        masks: ``(raters, *space)`` integer label maps; a label outside ``0..num_classes-1`` (a group, unknown) is not
            rated.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        num_classes: C, background included.
        tolerance: of `probseg.analysis.staple`.
        max_iterations: of the same.

    Returns:
        ``space`` labels; equally probable classes give the lower one. `UNRATED` where nobody rated a class.

    Example:
        >>> staple_labels(np.array([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]), None, 2).tolist()
        [0, 1, 1, 0]
    """
    _check_classes(num_classes)
    known = masks < num_classes if rated is None else (masks < num_classes) & rated
    voted = known.any(axis=0)
    if not voted.any():
        return np.full(masks.shape[1:], UNRATED, np.uint8)
    probability = staple(masks, num_classes, known, tolerance=tolerance, max_iterations=max_iterations).probability
    return np.where(voted, probability.argmax(axis=0), UNRATED).astype(np.uint8)
