"""The top class: whether a predicted 0.7 is chosen by 70 % of the raters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.calibration.blocks import BLOCK, not_probable, trials_of, voxel_blocks
from probseg.analysis.region import usual_region

__all__ = [
    "calibration_counts",
    "calibration_error",
    "expected_calibration_error",
    "maximum_calibration_error",
    "reliability_curve",
]

# A count and a sum of probabilities in one number: a block's sum of probabilities stays below the unit of its counts,
# and 53 bits hold both, the sum to 2^-20.
_UNIT = float(2 * BLOCK)
# Neighbours count in different cells, so that an addition need not wait for the one before it.
_LANES = 4
_RATERS = 32  # at once


def calibration_counts(
    probabilities: NDArray, masks: NDArray, rated: NDArray | None = None, region: NDArray | None = None, bins: int = 15
) -> NDArray[np.float64]:
    """Sums that any calibration figure of the top class is made of; those of several cases may be added.

    Args:
        probabilities: ``(classes, *space)``, summing to 1 over classes.
        masks: ``(raters, *space)`` integer label maps; a label outside the classes is no trial.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        region: ``space`` booleans, None for the whole image.
        bins: number of equal-width bins of 0..1; bin k is ``[k/bins, (k+1)/bins)``, the last includes 1. ``p * bins``
            is rounded as numbers of the type of ``probabilities`` are.

    Returns:
        ``(bins, 3)``: summed probability of the top class, number of hits, number of trials. Where classes tie, the
        lowest is the top class. Zeros where there was no trial. Counts are exact, and so is a sum to 1e-7 a trial.

    Raises:
        ProbsegError: E_NONFINITE for a probability that is NaN or infinite, E_SHAPE_MISMATCH.

    Example:
        >>> counts = calibration_counts(np.array([[0.3], [0.7]]), np.array([[1], [1], [1], [0]]), bins=2)
        >>> counts.round(3).tolist()
        [[0.0, 0.0, 0.0], [2.8, 3.0, 4.0]]
    """
    if len(masks) > _RATERS:  # the table grows with their square
        known = np.broadcast_to(True if rated is None else rated, masks.shape)
        parts = [slice(k, k + _RATERS) for k in range(0, len(masks), _RATERS)]
        return np.sum([calibration_counts(probabilities, masks[k], known[k], region, bins) for k in parts], axis=0)
    most = len(masks) + 1  # one more than the hits or trials that a voxel can have
    table = _Table((bins + 1) * most * most)  # bin, trials, hits; the last bin is that of probability 1
    for p, y, looked in voxel_blocks(probabilities, masks, rated, region):
        confidence, top = _top_class(p)
        scaled = confidence * confidence.dtype.type(bins)
        if len(scaled) and not scaled.max() < bins + 1:  # a NaN is below nothing
            raise not_probable()
        code, trials = scaled.astype(table.kind), trials_of(y, looked, len(p))
        code *= most * most
        code += trials * most if isinstance(trials, int) else trials.astype(table.kind) * most
        code += _hits(y, looked, top)
        table.add(code, confidence)
    voxels, stated = (x.reshape(bins + 1, most, most) for x in table.sums())
    number = np.arange(most, dtype=np.float64)
    sums = [np.einsum("bth,t->b", stated, number), *(np.einsum(f"bth,{k}->b", voxels, number) for k in "ht")]
    counts = np.stack(sums, axis=1)
    counts[bins - 1] += counts[bins]
    return counts[:bins]


class _Table:
    """How many voxels have each code, and their summed probability, in one pass over the voxels for both."""

    def __init__(self, codes: int) -> None:
        self.codes = codes
        self.kind = np.min_scalar_type(codes * _LANES - 1)  # the narrowest is the fastest
        self._lanes = np.tile((np.arange(_LANES) * codes).astype(self.kind), BLOCK // _LANES)
        self._weight = np.empty(BLOCK)
        self._voxels, self._stated = np.zeros(codes), np.zeros(codes)

    def add(self, code: NDArray, probability: NDArray) -> None:
        """Count ``(n,)`` codes and sum their probability; ``code`` is used up."""
        weight = self._weight[: len(code)]
        np.copyto(weight, probability)
        weight += _UNIT
        code += self._lanes[: len(code)]
        sums = np.bincount(code, weight, minlength=_LANES * self.codes)
        voxels, stated = np.divmod(sums.reshape(_LANES, -1).sum(axis=0), _UNIT)
        self._voxels += voxels
        self._stated += stated

    def sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``(codes,)`` voxels and summed probability."""
        return self._voxels, self._stated


def _top_class(p: NDArray) -> tuple[NDArray, NDArray]:
    """Largest probability of ``(classes, n)`` and its class, the lowest where several are largest."""
    narrow = p if p.dtype.itemsize > 2 else p.astype(np.float32)
    if len(p) == 1:
        return narrow[0], np.zeros(p.shape[1], np.uint8)
    above = narrow[1] > narrow[0]
    best, top = np.maximum(narrow[0], narrow[1]), above.view(np.uint8)
    kind = np.min_scalar_type(len(p) - 1).type
    for c in range(2, len(p)):
        above = narrow[c] > best
        top = np.maximum(top, above * kind(c))  # a later class has the greater number
        best = np.maximum(best, narrow[c])
    return best, top


def _hits(masks: NDArray, rated: NDArray | None, top: NDArray) -> NDArray:
    """``(n,)`` how many raters chose the top class."""
    hits = np.zeros(0 if len(masks) else len(top), np.uint8)
    for r, mask in enumerate(masks):
        same = mask == top
        if rated is not None:
            same &= rated[r]
        one = same.view(np.uint8)  # a sum of booleans would be cast in small pieces
        hits = hits + one if r else one
    return hits


def expected_calibration_error(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """ECE of counts ``(..., bins, 3)``: mean distance of confidence and frequency, weighted by trials; ``(...)``.

    NaN where there was no trial. Takes counts with leading axes, so a bootstrap may pass a thousand at once.
    """
    gap = np.abs(counts[..., 0] - counts[..., 1]).sum(axis=-1)
    trials = counts[..., 2].sum(axis=-1)
    return np.divide(gap, trials, out=np.full(np.shape(trials), np.nan), where=trials > 0)


def maximum_calibration_error(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """MCE of counts ``(..., bins, 3)``: the largest distance of confidence and frequency in a bin; ``(...)``.

    Naeini et al. (2015). NaN where there was no trial. A bin of few trials is far off by chance, so read it beside
    their number.
    """
    trials = counts[..., 2]
    gap = np.divide(np.abs(counts[..., 0] - counts[..., 1]), trials, out=np.full(trials.shape, -1.0), where=trials > 0)
    largest = gap.max(axis=-1)
    return np.where(largest < 0, np.nan, largest)


def reliability_curve(
    counts: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean confidence, frequency of hits and number of trials of each bin of ``(bins, 3)``; NaN where there is none."""
    trials = counts[:, 2]
    nothing = np.full(trials.shape, np.nan)
    confidence, frequency = (np.divide(counts[:, k], trials, out=nothing.copy(), where=trials > 0) for k in (0, 1))
    return confidence, frequency, np.rint(trials).astype(np.int64)


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
    region = usual_region(probabilities, masks, region, rated, spacing_mm)
    if not region.any():
        return math.nan
    return float(expected_calibration_error(calibration_counts(probabilities, masks, rated, region, bins)))
