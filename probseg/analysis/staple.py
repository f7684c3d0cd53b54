"""STAPLE: what the truth may be and how good each rater is, found together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.patterns import PatternTable, drawn_patterns, looked_up, vote_patterns
from probseg.errors import ProbsegError, warn

__all__ = ["StapleResult", "staple", "staple_of_patterns"]


@dataclass(frozen=True)
class StapleResult:
    """What `staple` found.

    Attributes:
        probability: ``(classes, *space)`` of the hidden truth; 0 in every class where nobody rated.
        sensitivity: ``(raters, classes)`` chance that a rater calls a voxel of the class by its name.
        specificity: ``(raters, classes)`` chance that a rater does not call another voxel so.
        confusion: ``(raters, classes, classes)``: of voxels that truly are i, the share that the rater calls j.
        prior: ``(classes,)`` assumed share of each class.
        iterations: of expectation maximisation.
        converged: whether it settled before the limit.
    """

    probability: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    specificity: NDArray[np.float64]
    confusion: NDArray[np.float64]
    prior: NDArray[np.float64]
    iterations: int
    converged: bool


def staple(
    masks: NDArray,
    num_classes: int = 2,
    rated: NDArray | None = None,
    prior: NDArray | None = None,
    tolerance: float = 1e-7,
    max_iterations: int = 10000,
) -> StapleResult:
    """Estimate the hidden true segmentation and each rater's performance by expectation maximisation.

    Warfield, Zou and Wells (2004), doi:10.1109/TMI.2004.828354. Raters are assumed to err independently given the
    truth, which raters of one school do not; the result is a model's opinion, not truth. With two classes it is
    SimpleITK's ``STAPLEImageFilter`` step by step, from the same start to the same end.

    Args:
        masks: ``(raters, *space)`` integer label maps; a label outside ``0..num_classes-1`` is not rated.
        num_classes: C, background included.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        prior: ``(classes,)`` share of each class; None for its share of all votes, as SimpleITK takes it.
        tolerance: ends when no entry of a confusion matrix moves by more; where raters contradict each other throughout
            the steps are small, and the end is far from where it would settle.
        max_iterations: the limit; reaching it warns W_NOT_CONVERGED.

    Returns:
        The estimate. With a class that nobody gave, its probability is 0 and its figures are NaN: raters who all drew
        nothing are certain of background. One rater alone is taken at their word and not judged: the figures are NaN.

    Raises:
        ProbsegError: E_NO_LABELS when nobody rated anything.
    """
    # Voxels with the same votes have the same posterior, and there are few combinations of votes.
    if rated is not None:
        labels, voxels, which = vote_patterns(masks, num_classes, rated)
        found = staple_of_patterns(PatternTable(labels, voxels), num_classes, prior, tolerance, max_iterations)
        return replace(found, probability=looked_up(found.probability, which))
    labels, voxels, which, box = drawn_patterns(masks, num_classes)
    found = staple_of_patterns(PatternTable(labels, voxels), num_classes, prior, tolerance, max_iterations)
    probability = np.empty((num_classes, *masks.shape[1:]))
    # Beyond the box all called it background, which is the first combination wherever it occurs.
    probability[:] = found.probability[:, 0].reshape(-1, *(1,) * (masks.ndim - 1))
    probability[:, *box] = looked_up(found.probability, which)
    return replace(found, probability=probability)


def staple_of_patterns(
    table: PatternTable,
    num_classes: int = 2,
    prior: NDArray | None = None,
    tolerance: float = 1e-7,
    max_iterations: int = 10000,
) -> StapleResult:
    """The same from the distinct combinations of votes alone, as `CaseStatistics.patterns` has them.

    Args:
        table: combinations and their voxels; a label outside ``0..num_classes-1`` is not rated.
        num_classes: C, background included.
        prior: as for `staple`.
        tolerance: likewise.
        max_iterations: likewise.

    Returns:
        As for `staple`, with ``probability`` of shape ``(classes, combinations)``.
    """
    weight = table.voxels.astype(np.float64)
    known = (table.labels >= 0) & (table.labels < num_classes)
    labels = np.where(known, table.labels, num_classes)
    votes = np.stack([labels == c for c in range(num_classes)], axis=-1).astype(np.float64)  # (raters, patterns, C)
    if not known.any():
        raise ProbsegError("E_NO_LABELS", "STAPLE needs at least one rated voxel")
    if prior is None:
        prior = (votes * weight[:, None]).sum(axis=(0, 1))
        prior = prior / prior.sum()
    # The raters' shares come first, as in ITK; from elsewhere the iteration may end with classes changed round.
    shares = votes.sum(axis=0)
    posterior = truth = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    confusion = np.full((len(labels), num_classes, num_classes), 1.0 / num_classes)
    moved, iteration = math.inf, 0
    while moved > tolerance and iteration < max_iterations:
        iteration += 1
        truth, before, confusion = posterior, confusion, _confusion(posterior, votes, weight, confusion)
        posterior = _posterior(confusion, labels, prior)
        moved = float(np.abs(confusion - before).max())
    converged = moved <= tolerance
    if not converged:
        warn("W_NOT_CONVERGED", f"STAPLE was still moving after {max_iterations} iterations; raise max_iterations")
    posterior[~known.any(axis=0)] = 0.0
    judged = _rates(confusion, truth, votes, weight, prior)
    return StapleResult(posterior.T.copy(), *judged, prior, iteration, converged)


def _posterior(confusion: NDArray, labels: NDArray[np.intp], prior: NDArray) -> NDArray[np.float64]:
    """``(patterns, classes)``: E step, in logarithms since many raters underflow."""
    raters, classes = confusion.shape[:2]
    with np.errstate(divide="ignore"):
        chance, logits = np.log(confusion), np.log(prior)
    # A vote for j adds log confusion[:, j]; no vote, which is label C, adds nothing.
    said = np.concatenate([chance.transpose(0, 2, 1), np.zeros((raters, 1, classes))], axis=1)
    for k in range(raters):
        logits = logits + said[k, labels[k]]
    top = logits.max(axis=1, keepdims=True)
    # No class is possible where certain raters contradict each other; then the prior is all there is.
    likelihood = np.where(np.isfinite(top), np.exp(logits - np.where(np.isfinite(top), top, 0.0)), prior)
    return likelihood / likelihood.sum(axis=1, keepdims=True)


def _confusion(posterior: NDArray, votes: NDArray, weight: NDArray, before: NDArray) -> NDArray[np.float64]:
    """M step: of the mass of class i where a rater voted, the share voted j; as before where there is no mass."""
    mass = (posterior * weight[:, None]).T @ votes  # (raters, true class, vote)
    total = mass.sum(axis=2, keepdims=True)
    return np.divide(mass, total, out=before.copy(), where=total > 0)


def _rates(
    confusion: NDArray, truth: NDArray, votes: NDArray, weight: NDArray, prior: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivity, specificity and confusion; NaN for a class that nobody gave, and for one rater alone."""
    seen = votes.sum(axis=2) * weight  # (raters, patterns): voxels with a vote
    others = 1.0 - truth
    mass = np.einsum("rp,pc->rc", seen, others)
    wrong = np.einsum("pc,rpc->rc", others * weight[:, None], votes)
    specificity = 1.0 - np.divide(wrong, mass, out=np.full(mass.shape, np.nan), where=mass > 0)
    undefined = (prior == 0) | (np.count_nonzero(seen.any(axis=1)) < 2)
    specificity[:, undefined] = np.nan
    confusion[:, undefined] = np.nan
    return np.diagonal(confusion, axis1=1, axis2=2).copy(), specificity, confusion
