"""STAPLE: what the truth may be and how good each rater is, found together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.patterns import vote_patterns
from probseg.errors import ProbsegError, warn

__all__ = ["StapleResult", "staple"]

# Raters start out as good as perfect, as in ITK; from elsewhere the iteration may end with classes changed round.
_DOUBT = 1e-5


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
    max_iterations: int = 500,
) -> StapleResult:
    """Estimate the hidden true segmentation and each rater's performance by expectation maximisation.

    Warfield, Zou and Wells (2004), doi:10.1109/TMI.2004.828354. Raters are assumed to err independently given the
    truth, which readers of one school do not; the result is a model's opinion, not truth.

    Args:
        masks: ``(raters, *space)`` integer label maps; a label outside ``0..num_classes-1`` is not rated.
        num_classes: C, background included.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        prior: ``(classes,)`` share of each class; None for its share of all votes, as SimpleITK takes it.
        tolerance: ends when no entry of a confusion matrix moves by more.
        max_iterations: the limit; reaching it warns W_NOT_CONVERGED.

    Returns:
        The estimate. With a class that nobody gave, its probability is 0 and its figures are NaN.

    Raises:
        ProbsegError: E_NO_LABELS when nobody rated anything.
    """
    # Voxels with the same votes have the same posterior, and there are few combinations of votes.
    patterns, weight, index = vote_patterns(masks, num_classes, rated)
    if not (patterns < num_classes).any():
        raise ProbsegError("E_NO_LABELS", "STAPLE needs at least one rated voxel")
    votes = np.stack([patterns == c for c in range(num_classes)], axis=-1).astype(np.float64)  # (raters, patterns, C)
    if prior is None:
        prior = (votes * weight[:, None]).sum(axis=(0, 1))
        prior = prior / prior.sum()
    confusion = np.full((len(masks), num_classes, num_classes), _DOUBT / max(num_classes - 1, 1))
    confusion[:, np.arange(num_classes), np.arange(num_classes)] = 1.0 - _DOUBT
    converged, iteration = False, 0
    while not converged and iteration < max_iterations:
        iteration += 1
        posterior = _posterior(confusion, votes, prior)
        before, confusion = confusion, _confusion(posterior, votes, weight, confusion)
        converged = bool(np.abs(confusion - before).max() <= tolerance)
    if not converged:
        warn("W_NOT_CONVERGED", f"STAPLE was still moving after {max_iterations} iterations; raise max_iterations")
    posterior = _posterior(confusion, votes, prior)
    posterior[(patterns == num_classes).all(axis=0)] = 0.0
    return StapleResult(
        np.stack([posterior[:, c][index] for c in range(num_classes)]),
        *_rates(confusion, posterior, votes, weight, prior),
        confusion,
        prior,
        iteration,
        converged,
    )


def _posterior(confusion: NDArray, votes: NDArray, prior: NDArray) -> NDArray[np.float64]:
    """``(patterns, classes)``: E step, in logarithms since many raters underflow."""
    with np.errstate(divide="ignore"):
        chance, start = np.log(confusion), np.log(prior)
    # A vote for j adds log confusion[:, j]; no vote adds nothing.
    seen = np.where(votes[:, :, None, :] > 0, chance[:, None], 0.0).sum(axis=(0, 3))  # (patterns, classes)
    logits = seen + start
    top = logits.max(axis=1, keepdims=True)
    # No class is possible where certain raters contradict each other; then the prior is all there is.
    likelihood = np.where(np.isfinite(top), np.exp(logits - np.where(np.isfinite(top), top, 0.0)), prior)
    return likelihood / likelihood.sum(axis=1, keepdims=True)


def _confusion(posterior: NDArray, votes: NDArray, weight: NDArray, before: NDArray) -> NDArray[np.float64]:
    """M step: of the mass of class i where a rater voted, the share voted j; as before where there is no mass."""
    mass = np.einsum("pi,p,rpj->rij", posterior, weight, votes, optimize=True)
    total = mass.sum(axis=2, keepdims=True)
    return np.divide(mass, total, out=before.copy(), where=total > 0)


def _rates(
    confusion: NDArray, posterior: NDArray, votes: NDArray, weight: NDArray, prior: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sensitivity and specificity of each rater and class; NaN for a class that nobody gave."""
    sensitivity = np.diagonal(confusion, axis1=1, axis2=2).copy()
    seen = votes.sum(axis=2) * weight  # (raters, patterns): voxels with a vote
    others = 1.0 - posterior
    mass = np.einsum("rp,pc->rc", seen, others)
    wrong = np.einsum("pc,p,rpc->rc", others, weight, votes, optimize=True)
    specificity = 1.0 - np.divide(wrong, mass, out=np.full(mass.shape, np.nan), where=mass > 0)
    unused = prior == 0
    sensitivity[:, unused] = np.nan
    specificity[:, unused] = np.nan
    return sensitivity, specificity
