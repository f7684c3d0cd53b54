"""SIMPLE: the raters' weighted vote without those whose masks fit it badly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.overlap import dice, joint_histogram, structure_counts
from probseg.analysis.patterns import PatternTable, looked_up, vote_patterns
from probseg.errors import ProbsegError

__all__ = ["SimpleResult", "simple_fusion", "simple_of_patterns"]

_MOST_STEPS = 100


@dataclass(frozen=True)
class SimpleResult:
    """What `simple_fusion` found.

    Attributes:
        probability: ``(classes, *space)`` share of each class in the weighted vote of the raters who were kept; 0 in
            every class where none of them rated. The fused label is the class of the largest share, the lower of
            several.
        performance: ``(raters,)`` overlap of each rater, dropped or not, with the fused labels, 0..1; NaN for a rater
            who rated nothing, and where there is but one.
        kept: ``(raters,)`` whether a rater had a vote in the end.
        steps: how often the vote was taken.
    """

    probability: NDArray[np.float64]
    performance: NDArray[np.float64]
    kept: NDArray[np.bool_]
    steps: int

    @property
    def labels(self) -> NDArray[np.intp]:
        """``space``: the fused labels; background where nobody rated."""
        return self.probability.argmax(axis=0)


def simple_fusion(
    masks: NDArray, num_classes: int = 2, rated: NDArray | None = None, threshold: float = 0.75
) -> SimpleResult:
    """Fuse masks by a vote that leaves out, step by step, raters who agree badly with its outcome.

    Langerak et al. (2010), doi:10.1109/TMI.2010.2057442: selective and iterative method for performance level
    estimation. The vote T is a majority at first. Then each rater's performance phi is measured against T; whoever
    performs too badly is dropped for good; and T becomes the vote weighted by phi, until neither T nor the raters
    change. phi is the mean Dice over the foreground classes that either drew, and 1 where both drew nothing. Too badly
    is here below a share of the best performance of those still in; a bound in standard deviations, which is also met
    with, goes on dropping somebody from among any raters who are not all alike. Two always stay: of two, neither is
    the odd one out.

    Args:
        masks: ``(raters, *space)`` integer label maps; a label outside ``0..num_classes-1`` is not rated.
        num_classes: C, background included.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        threshold: share of the best performance, 0 to 1, that a rater must have.

    Raises:
        ProbsegError: E_NO_LABELS when nobody rated anything, E_ARGUMENT for a threshold that is no share.
    """
    # Voxels with the same votes have the same outcome, and there are few combinations of votes.
    labels, voxels, which = vote_patterns(masks, num_classes, rated)
    found = simple_of_patterns(PatternTable(labels, voxels), num_classes, threshold)
    return replace(found, probability=looked_up(found.probability, which))


def simple_of_patterns(table: PatternTable, num_classes: int = 2, threshold: float = 0.75) -> SimpleResult:
    """The same from the distinct combinations of votes alone; ``probability`` is ``(classes, combinations)``."""
    if not 0.0 <= threshold <= 1.0:
        raise ProbsegError("E_ARGUMENT", f"the threshold of SIMPLE must be a share from 0 to 1, but is {threshold}")
    votes = np.stack([table.labels == c for c in range(num_classes)])  # (classes, raters, combinations)
    present: NDArray[np.bool_] = np.asarray(votes.any(axis=(0, 2)))
    if not present.any():
        raise ProbsegError("E_NO_LABELS", "SIMPLE needs at least one rated voxel")
    kept, weights, steps = present, np.asarray(present, dtype=np.float64), 0
    outcome = np.full(len(table.voxels), -1)
    while True:
        steps += 1
        shares = _shares(votes, weights)
        before, outcome = outcome, np.asarray(shares.argmax(axis=0))
        performance = np.array([_performance(rater, outcome, table.voxels, num_classes) for rater in table.labels])
        still = _good_enough(performance, kept, threshold)
        if (np.array_equal(outcome, before) and np.array_equal(still, kept)) or steps == _MOST_STEPS:
            break
        kept = still
        # Where nobody overlaps with the vote at all, no one is better than another.
        weights = kept * (performance if performance[kept].any() else 1.0)
    alone = np.count_nonzero(present) < 2
    return SimpleResult(shares, np.where(present & ~alone, performance, np.nan), kept, steps)


def _shares(votes: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(classes, combinations)`` shares of the weighted vote; 0 where nobody with a weight voted."""
    weighted = np.einsum("crp,r->cp", votes, weights)
    total = weighted.sum(axis=0)
    return np.divide(weighted, total, out=np.zeros_like(weighted), where=total > 0)


def _performance(rater: NDArray, outcome: NDArray, voxels: NDArray, num_classes: int) -> float:
    """Mean Dice over the foreground classes that either drew, where the rater rated; 1 where neither drew anything."""
    joint = joint_histogram(rater, outcome, num_classes, voxels)
    each = np.array([float(dice(structure_counts(joint, np.arange(num_classes) == c))) for c in range(1, num_classes)])
    known = each[~np.isnan(each)]
    return float(known.mean()) if len(known) else 1.0


def _good_enough(performance: NDArray[np.float64], kept: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    """Who of those kept stays: all of two, and of more whoever comes near the best."""
    # A speck of slack, so that raters who perform alike are never parted by rounding.
    still = np.asarray(kept & (performance >= threshold * performance[kept].max() - 1e-12))
    return still if np.count_nonzero(still) >= 2 else kept
