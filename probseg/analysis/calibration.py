"""Whether a predicted 0.7 is chosen by 70 % of the raters.

The event is "a rater says class c here": each rated (voxel, rater) is one trial (rater-marginal calibration).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.entropy import votes
from probseg.analysis.region import union_region
from probseg.errors import ProbsegError

__all__ = [
    "calibration_counts",
    "calibration_error",
    "classwise_calibration_error",
    "classwise_gaps",
    "expected_calibration_error",
]


def calibration_counts(
    probabilities: NDArray, masks: NDArray, rated: NDArray | None = None, region: NDArray | None = None, bins: int = 15
) -> NDArray[np.float64]:
    """Sums that any calibration figure of the top class is made of; those of several cases may be added.

    Args:
        probabilities: ``(classes, *space)``, summing to 1 over classes.
        masks: ``(raters, *space)`` integer label maps; a label outside the classes is no trial.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        region: ``space`` booleans, None for the whole image.
        bins: number of equal-width bins of 0..1; bin k is ``[k/bins, (k+1)/bins)``, the last includes 1.

    Returns:
        ``(bins, 3)``: summed probability of the top class, number of hits, number of trials. Where classes tie, the
        lowest is the top class.
    """
    inside = np.ones(probabilities.shape[1:], dtype=bool) if region is None else region
    chosen = probabilities[:, inside]  # (classes, voxels)
    top, confidence = chosen.argmax(axis=0), chosen.max(axis=0).astype(np.float64)
    if not np.isfinite(confidence).all():
        raise ProbsegError("E_NONFINITE", f"{int((~np.isfinite(confidence)).sum())} voxels have a probability of NaN")
    votes = masks[:, inside]  # (raters, voxels)
    known = (votes >= 0) & (votes < len(probabilities))
    if rated is not None:
        known &= np.broadcast_to(rated, masks.shape)[:, inside]
    trials = known.sum(axis=0).astype(np.float64)
    hits = ((votes == top) & known).sum(axis=0).astype(np.float64)
    index = np.clip((confidence * bins).astype(np.intp), 0, bins - 1)
    return np.stack([np.bincount(index, w, minlength=bins) for w in (confidence * trials, hits, trials)], axis=1)


def expected_calibration_error(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """ECE of counts ``(..., bins, 3)``: mean distance of confidence and frequency, weighted by trials; ``(...)``.

    NaN where there was no trial. Takes counts with leading axes, so a bootstrap may pass a thousand at once.
    """
    gap = np.abs(counts[..., 0] - counts[..., 1]).sum(axis=-1)
    trials = counts[..., 2].sum(axis=-1)
    return np.divide(gap, trials, out=np.full(np.shape(trials), np.nan), where=trials > 0)


def calibration_error(
    probabilities: NDArray,
    masks: NDArray,
    region: NDArray | None = None,
    bins: int = 15,
    rated: NDArray | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> float:
    """Expected calibration error (ECE) of the top class against all raters, 0 (best) to 1.

    Naeini et al. (2015), equal-width bins; rater-marginal, see `calibration_counts`.

    Args:
        probabilities: ``(classes, *space)``.
        masks: ``(raters, *space)`` integer label maps.
        region: ``space`` booleans; None for the union of foreground dilated by 5 mm (`union_region`). Pass all true
            for the whole image.
        bins: number of bins.
        rated: ``(raters, *space)`` booleans.
        spacing_mm: for the default region; None dilates by 5 voxels.

    Returns:
        NaN when the region holds no trial.
    """
    if region is None:
        region = union_region(masks, probabilities.argmax(axis=0), len(probabilities), rated, spacing_mm)
    if not region.any():
        return math.nan
    return float(expected_calibration_error(calibration_counts(probabilities, masks, rated, region, bins)))


def classwise_gaps(
    probabilities: NDArray, hits: NDArray, trials: NDArray | None = None, bins: int = 15
) -> NDArray[np.float64]:
    """How far each class's probability is from how often it is chosen, 0 (best) to 1: ``(classes,)``.

    Voxels in the order of p, the probability of class c, are cut into R bins of equal mass, each of as many trials:

        gap_c = 1/R sum over r of |mean p - share of hits|

    Adaptive calibration error (Nixon et al. 2019, arXiv:1904.01685) is the mean over classes. A voxel on the border of
    two bins counts in each by its part, and voxels of equal p are alike, so that their order makes no difference.

    Args:
        probabilities: ``(classes, voxels)``; of one case, or of several one after the other.
        hits: ``(classes, voxels)``: how many trials chose the class; without ``trials`` the share that would.
        trials: ``(voxels,)``: of each voxel, 0 for none; None for one each.
        bins: R.

    Returns:
        NaN where there was no trial.
    """
    weight = np.ones(probabilities.shape[1]) if trials is None else np.asarray(trials, dtype=np.float64)
    asked = weight > 0
    if not asked.any():
        return np.full(len(probabilities), np.nan)
    each = zip(probabilities[:, asked], hits[:, asked], strict=True)
    return np.array([_gap(p, h, weight[asked], bins) for p, h in each])


def _gap(probability: NDArray, hits: NDArray, trials: NDArray[np.float64], bins: int) -> float:
    if not np.isfinite(probability).all():
        raise ProbsegError("E_NONFINITE", f"{int((~np.isfinite(probability)).sum())} voxels have a probability of NaN")
    order = np.argsort(probability)
    p, h, n = probability[order].astype(np.float64), hits[order].astype(np.float64), trials[order]
    last = np.flatnonzero(np.append(p[1:] > p[:-1], True))  # of each run of equal probabilities
    mass, expected, seen = (np.append(0.0, np.cumsum(x)[last]) for x in (n, p * n, h))
    borders = np.linspace(0, mass[-1], bins + 1)
    off = np.interp(borders, mass, expected - seen)
    return float(np.abs(np.diff(off)).sum() / mass[-1])


def classwise_calibration_error(
    probabilities: NDArray,
    masks: NDArray,
    region: NDArray | None = None,
    bins: int = 15,
    rated: NDArray | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> float:
    """Classwise ACE against all raters, 0 (best) to 1: bins of equal mass for each class, averaged over classes.

    Unlike ECE it judges the probability of every class and not of the top one alone. Rater-marginal, see
    `classwise_gaps`; the arguments and what is returned are those of `calibration_error`.
    """
    if region is None:
        region = union_region(masks, probabilities.argmax(axis=0), len(probabilities), rated, spacing_mm)
    looked = None if rated is None else np.broadcast_to(rated, masks.shape)[:, region]
    hits = votes(masks[:, region], len(probabilities), looked)
    return float(classwise_gaps(probabilities[:, region], hits, hits.sum(axis=0), bins).mean())
