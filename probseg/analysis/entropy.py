"""How the raters' votes scatter over the classes, voxel by voxel."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.patterns import vote_patterns

__all__ = ["complete_agreement", "entropy_of_counts", "rater_entropy", "union_of_foreground", "votes"]


def votes(masks: NDArray, num_classes: int, rated: NDArray | None = None) -> NDArray[np.int64]:
    """``(classes, *space)``: how many raters gave each leaf class to each voxel.

    Args:
        masks: ``(raters, *space)`` integer label maps. A label outside ``0..num_classes-1`` (a group, unknown) names no
            one class, so it is no vote.
        num_classes: C, background included.
        rated: ``(raters, *space)`` booleans, None for everywhere.
    """
    looked = True if rated is None else rated
    return np.stack([((masks == c) & looked).sum(axis=0) for c in range(num_classes)])


def rater_entropy(masks: NDArray, num_classes: int, rated: NDArray | None = None) -> NDArray[np.float64]:
    """Shannon entropy of the raters' vote at each voxel, ``space``, in nats: 0 to log(min(raters, classes)).

    NaN where fewer than two raters voted: one voice cannot disagree. Arguments as for `votes`.

    Example:
        >>> rater_entropy(np.array([[1, 1, 0], [1, 0, 0]]), 2).round(3).tolist()
        [0.0, 0.693, 0.0]
    """
    found = vote_patterns(masks, num_classes, rated)
    return entropy_of_counts(votes(found.labels, num_classes))[found.which]


def entropy_of_counts(counts: NDArray) -> NDArray[np.float64]:
    """Entropy of ``(classes, ...)`` counts of votes, over the first axis, in nats; NaN for fewer than two votes."""
    total = counts.sum(axis=0)
    share = counts / np.maximum(total, 1)
    terms = np.zeros(share.shape)
    np.log(share, out=terms, where=share > 0)
    return np.where(total >= 2, np.abs((share * terms).sum(axis=0)), np.nan)


def union_of_foreground(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """``space``: voxels that at least two raters voted on and at least one called foreground, from `votes`."""
    return np.asarray((counts.sum(axis=0) >= 2) & (counts[1:].sum(axis=0) > 0))


def complete_agreement(masks: NDArray, num_classes: int, rated: NDArray | None = None) -> float:
    """Share of voxels where all who voted agree, within the union of their foreground: 0..1.

    Only voxels with two votes or more are asked. NaN where nobody drew anything or there is one rater.
    Arguments as for `votes`.
    """
    found = vote_patterns(masks, num_classes, rated)
    counts = votes(found.labels, num_classes)
    region = union_of_foreground(counts)
    if not region.any():
        return math.nan
    agreed = counts.max(axis=0) == counts.sum(axis=0)
    return float(found.voxels[region & agreed].sum() / found.voxels[region].sum())
