"""Whether a predicted 0.7 is chosen by 70 % of the raters.

The event is "a rater says class c here": each rated (voxel, rater) is one trial (rater-marginal calibration).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.region import union_region
from probseg.errors import ProbsegError

__all__ = ["calibration_counts", "calibration_error", "expected_calibration_error"]


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
