"""Proper scores of the mean distribution against every rater: Brier and negative log-likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.calibration.blocks import finite, voxel_blocks
from probseg.analysis.region import usual_region

__all__ = ["LEAST", "brier_score", "class_score_sums", "negative_log_likelihood", "score_sums"]

LEAST = 1e-12
"""Probabilities below this count as this in a likelihood; a float32 mean cannot tell them from 0."""


def score_sums(
    probabilities: NDArray,
    masks: NDArray,
    rated: NDArray | None = None,
    region: NDArray | None = None,
    admissible: NDArray | None = None,
) -> NDArray[np.float64]:
    """Sums of both scores and their trials, ``(4,)``; those of several cases may be added.

    A trial of Brier is a rated voxel to which a rater gave a class; a trial of NLL also one that got a group, which
    counts by the total probability of its classes. A label that admits every class says nothing and is no trial.

        Brier = sum over c of (p_c - [rater says c])^2        NLL = -log of the sum over admissible c of p_c

    Args:
        probabilities: ``(classes, *space)``, summing to 1 over classes.
        masks: ``(raters, *space)`` dense labels.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        region: ``space`` booleans, None for the whole image.
        admissible: ``(labels, classes)`` booleans, `LabelSet.admissible`; None for classes alone.

    Returns:
        Summed Brier, its trials, summed NLL in nats, its trials.

    Raises:
        ProbsegError: E_NONFINITE, E_SHAPE_MISMATCH.

    Example:
        >>> score_sums(np.array([[0.2], [0.8]]), np.array([[1], [0]])).round(3).tolist()
        [1.36, 2.0, 1.833, 2.0]
    """
    classes = len(probabilities)
    groups = [] if admissible is None else [np.flatnonzero(row) for row in admissible[classes:]]
    total = np.zeros(4)
    for p, y, looked in voxel_blocks(probabilities, masks, rated, region):
        known = _counts(y, looked, range(classes + len(groups)))
        trials = known[:classes].sum(axis=0)
        wide = p.astype(np.float64)
        # |p - e_y|^2 = |p|^2 - 2 p_y + 1, summed over raters
        total[0] += np.einsum("cn,cn,n->", wide, wide, trials) - 2 * np.einsum("cn,cn->", wide, known[:classes])
        total[0] += trials.sum()
        total[1] += trials.sum()
        for label, count in enumerate(known):
            members = [label] if label < classes else groups[label - classes]
            chosen = np.flatnonzero(count) if len(members) < classes else np.zeros(0, np.intp)
            if len(chosen):
                said = sum(wide[c].take(chosen) for c in members)
                total[2] -= count.take(chosen) @ np.log(np.maximum(said, LEAST))
                total[3] += count.take(chosen).sum()
    return finite(total)


def class_score_sums(
    probabilities: NDArray, masks: NDArray, rated: NDArray | None = None, region: NDArray | None = None
) -> NDArray[np.float64]:
    """Sums of the squared error of each class's probability and their trials, ``(classes, 2)``; those of cases add up.

    The event is one class against the rest: ``(p_c - [rater says c])^2``; over classes these sum to the Brier score.
    Arguments as for `score_sums`.
    """
    total = np.zeros((len(probabilities), 2))
    for p, y, looked in voxel_blocks(probabilities, masks, rated, region):
        known = _counts(y, looked, range(len(p)))
        trials, wide = known.sum(axis=0), p.astype(np.float64)
        total[:, 0] += (wide**2) @ trials - 2 * np.einsum("cn,cn->c", wide, known) + known.sum(axis=1)
        total[:, 1] += trials.sum()
    return finite(total)


def _counts(masks: NDArray, rated: NDArray | None, labels: Sequence[int]) -> NDArray[np.float64]:
    """``(labels, n)`` how many raters gave each label."""
    out = np.empty((len(labels), masks.shape[1]))
    for k, label in enumerate(labels):
        same = masks == label
        if rated is not None:
            same &= rated
        np.sum(same, axis=0, out=out[k])
    return out


def brier_score(
    probabilities: NDArray,
    masks: NDArray,
    region: NDArray | None = None,
    rated: NDArray | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> float:
    """Brier score against all raters, 0 (best) to 2: squared error summed over classes, a rated voxel and rater.

    Brier (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2. Rater-marginal, see `score_sums`; the arguments
    and the region are those of `calibration_error`. NaN when the region holds no trial.
    """
    region = usual_region(probabilities, masks, region, rated, spacing_mm)
    return _ratio(*score_sums(probabilities, masks, rated, region)[:2])


def negative_log_likelihood(
    probabilities: NDArray,
    masks: NDArray,
    region: NDArray | None = None,
    rated: NDArray | None = None,
    spacing_mm: Sequence[float] | None = None,
    admissible: NDArray | None = None,
) -> float:
    """Surprise at what raters say, nats a rated voxel and rater, 0 (best) and up.

    Rater-marginal, see `score_sums`; the arguments and the region are those of `calibration_error`. NaN when the region
    holds no trial.
    """
    region = usual_region(probabilities, masks, region, rated, spacing_mm)
    return _ratio(*score_sums(probabilities, masks, rated, region, admissible)[2:])


def _ratio(total: float, trials: float) -> float:
    return float(total / trials) if trials else math.nan
