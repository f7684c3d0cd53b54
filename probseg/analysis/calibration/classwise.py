"""Every class by bins of equal mass: adaptive calibration error, exact or over a stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.calibration.blocks import finite, voxel_blocks
from probseg.analysis.entropy import votes
from probseg.analysis.region import usual_region
from probseg.errors import ProbsegError

__all__ = ["cell_counts", "cells_of", "classwise_calibration_error", "classwise_gaps", "equal_mass_gaps"]

_OCTAVES = 16  # from 1/2 down to 2^-17; what is smaller shares the last cell
_MANTISSA = 23  # bits of a float32
_HALF = 126  # biased exponent of 1/2


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
    each = zip(probabilities[:, asked], hits[:, asked], strict=True)
    return np.array([float(equal_mass_gaps(_sorted_sums(p, h, weight[asked]), bins)) for p, h in each])


def _sorted_sums(probability: NDArray, hits: NDArray, trials: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(distinct probabilities, 3)`` in rising order, as `equal_mass_gaps` takes them."""
    if not np.isfinite(probability).all():
        raise ProbsegError("E_NONFINITE", f"{int((~np.isfinite(probability)).sum())} voxels have a probability of NaN")
    order = np.argsort(probability)
    p, h, n = probability[order].astype(np.float64), hits[order].astype(np.float64), trials[order]
    first = np.flatnonzero(np.append(True, p[1:] > p[:-1])[: len(p)])  # of each run of equal probabilities
    if not len(first):
        return np.zeros((1, 3))
    return np.stack([np.add.reduceat(x, first) for x in (p * n, h, n)], axis=1)


def equal_mass_gaps(sums: NDArray[np.float64], bins: int = 15) -> NDArray[np.float64]:
    """The gap of one class over bins of equal mass, 0 (best) to 1, of sums that are in the order of its probability.

    Args:
        sums: ``(..., cells, 3)``: summed probability, hits and trials of voxels that count as alike. With one cell for
            each distinct probability the gap is exact.
        bins: R.

    Returns:
        ``(...)``; NaN where there was no trial.
    """
    lead = sums.shape[:-2]
    flat = sums.reshape(-1, *sums.shape[-2:])
    mass = np.cumsum(flat[..., 2], axis=1)
    off = np.cumsum(flat[..., 0] - flat[..., 1], axis=1)
    out = np.full(len(flat), np.nan)
    for k in np.flatnonzero(mass[:, -1] > 0):
        borders = np.linspace(0, mass[k, -1], bins + 1)
        along = np.interp(borders, np.append(0.0, mass[k]), np.append(0.0, off[k]))
        out[k] = np.abs(np.diff(along)).sum() / mass[k, -1]
    return out.reshape(lead)


def cells_of(probability: NDArray, fineness: int = 11) -> NDArray[np.intp]:
    """The cell of each probability in a fixed histogram whose cells narrow towards 0 and 1.

    There are 16 octaves down from 1/2 and, mirrored, up from it, each of ``2**fineness`` cells of equal width:
    ``2**(fineness + 5)`` in all, 65536 by default. A cell near p is at most ``p 2**-fineness`` wide (``1 - p`` above
    1/2), and below 2^-17 one cell holds all. Cells are in the order of p.
    """
    p = probability.astype(np.float32)
    upper = p > 0.5
    p = np.where(upper, 1 - p, p)
    key = (p.view(np.int32) >> (_MANTISSA - fineness)) - ((_HALF - _OCTAVES) << fineness)
    key = np.clip(key, 0, (_OCTAVES << fineness) - 1).astype(np.intp)
    return np.where(upper, (2 * _OCTAVES << fineness) - 1 - key, key)


def cell_counts(
    probabilities: NDArray,
    masks: NDArray,
    rated: NDArray | None = None,
    region: NDArray | None = None,
    fineness: int = 11,
) -> NDArray[np.float64]:
    """Sums of each class over the cells of `cells_of`, from which `equal_mass_gaps` follows; those of cases add up.

    Memory is fixed, so that a stream of any length can be measured. What `equal_mass_gaps` gives differs from the exact
    `classwise_gaps` only by how the voxels of a cell that a border of bins cuts are shared between both: with m the
    largest share of all trials in one such cell, by less than ``(R - 1) m``, and where frequency is smooth in p by far
    less (tests: 1e-5 for 65536 cells).

    Args:
        probabilities: ``(classes, *space)``.
        masks: ``(raters, *space)`` integer label maps; a label outside the classes is no trial.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        region: ``space`` booleans, None for the whole image.
        fineness: see `cells_of`.

    Returns:
        ``(classes, cells, 3)``: summed probability, hits and trials.

    Raises:
        ProbsegError: E_NONFINITE, E_SHAPE_MISMATCH.
    """
    classes, cells = len(probabilities), 2 * _OCTAVES << fineness
    sums = np.zeros((classes, 3, cells))
    for p, y, looked in voxel_blocks(probabilities, masks, rated, region, 1 << max(13, fineness + 6)):
        hits = votes(y, classes, looked)
        trials = hits.sum(axis=0)
        for c in range(classes):
            finite(p[c])
            cell = cells_of(p[c], fineness)
            for k, weight in enumerate((p[c] * trials, hits[c], trials)):
                sums[c, k] += np.bincount(cell, weight, minlength=cells)
    return sums.transpose(0, 2, 1)


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
    region = usual_region(probabilities, masks, region, rated, spacing_mm)
    looked = None if rated is None else np.broadcast_to(rated, masks.shape)[:, region]
    hits = votes(masks[:, region], len(probabilities), looked)
    return float(classwise_gaps(probabilities[:, region], hits, hits.sum(axis=0), bins).mean())
