"""Do maps of uncertainty lie high where raters disagree, and where the prediction is wrong? Voxel by voxel, streamed.

Every voxel is counted in a histogram and forgotten, so that memory does not grow and counts of cases and processes may
be added. Bins of uncertainty are geometric, for most voxels are almost sure: 126 of them divide 1e-6 log C to log C,
each 12 % wide. What shares a bin is tied, so an area under the ROC curve is off by at most half the chance that two
voxels of either kind share one; on smooth maps that is some thousandths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.bootstrap import Interval, bootstrap
from probseg.analysis.detection import auroc_of_counts
from probseg.analysis.entropy import rater_entropy
from probseg.analysis.rank_correlation import spearman_of_counts
from probseg.analysis.risk_coverage import area_of_counts
from probseg.errors import ProbsegError

__all__ = [
    "DISPUTE_BINS",
    "UNCERTAINTY_BINS",
    "disagreement_counts",
    "error_counts",
    "excess_area_of_errors",
    "uncertainty_bin",
    "voxel_figures",
]

UNCERTAINTY_BINS = 128
DISPUTE_BINS = 24
"""Of the raters' entropy: 0 has the first, the rest are of equal width up to log C."""

_LEAST = 1e-6  # of log C; a float32 map is not sure of less


def uncertainty_bin(uncertainty: NDArray, num_classes: int) -> NDArray[np.intp]:
    """Bin of each value of a map in nats, 0 to `UNCERTAINTY_BINS` - 1; rounding below 0 and above log C is let pass.

    Raises:
        ProbsegError: E_NONFINITE for a value that is none.
    """
    values = np.asarray(uncertainty)
    if not np.isfinite(values).all():
        raise ProbsegError("E_NONFINITE", f"{int((~np.isfinite(values)).sum())} voxels of an uncertainty map are NaN")
    top = math.log(num_classes)
    steps = (UNCERTAINTY_BINS - 2) / -math.log(_LEAST)
    with np.errstate(divide="ignore"):
        place = np.log(np.maximum(values, 0) / (top * _LEAST)) * steps
    return np.clip(np.nan_to_num(np.floor(place + 1e-5), neginf=-1) + 1, 0, UNCERTAINTY_BINS - 1).astype(np.intp)


def disagreement_counts(
    uncertainty: NDArray,
    masks: NDArray,
    num_classes: int,
    rated: NDArray | None = None,
    region: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Voxels by uncertainty and by the entropy of the raters' votes, `UNCERTAINTY_BINS` x `DISPUTE_BINS`.

    Args:
        uncertainty: ``space``, nats.
        masks: ``(raters, *space)`` dense labels; one that is no leaf class is no vote.
        num_classes: C.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        region: ``space`` booleans, None for the whole image.

    Returns:
        Only voxels with at least two votes count.
    """
    inside = np.ones(masks.shape[1:], dtype=bool) if region is None else region
    looked = None if rated is None else np.broadcast_to(rated, masks.shape)[:, inside]
    entropy = rater_entropy(masks[:, inside], num_classes, looked)
    known = ~np.isnan(entropy)
    share = entropy[known] / math.log(num_classes)
    dispute = np.where(share > 1e-9, np.clip(np.ceil(share * (DISPUTE_BINS - 1)), 1, DISPUTE_BINS - 1), 0)
    joint = uncertainty_bin(uncertainty[inside][known], num_classes) * DISPUTE_BINS + dispute.astype(np.intp)
    counts = np.bincount(joint, minlength=UNCERTAINTY_BINS * DISPUTE_BINS)
    return counts.reshape(UNCERTAINTY_BINS, DISPUTE_BINS)


def error_counts(
    uncertainty: NDArray,
    mode: NDArray,
    masks: NDArray,
    num_classes: int,
    rated: NDArray | None = None,
    region: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Trials by uncertainty, right and wrong, ``(UNCERTAINTY_BINS, 2)``: each rated (voxel, rater) is one.

    A trial is wrong where the rater's leaf class is not the mode's. Arguments as for `disagreement_counts`; ``mode`` is
    ``space``.
    """
    inside = np.ones(masks.shape[1:], dtype=bool) if region is None else region
    votes, predicted = masks[:, inside], mode[inside]
    known = votes < num_classes
    if rated is not None:
        known &= np.broadcast_to(rated, masks.shape)[:, inside]
    wrong = (known & (votes != predicted)).sum(axis=0)
    place = uncertainty_bin(uncertainty[inside], num_classes)
    counts = [np.bincount(place, w, UNCERTAINTY_BINS) for w in (known.sum(axis=0) - wrong, wrong)]
    return np.rint(np.stack(counts, axis=1)).astype(np.int64)


def excess_area_of_errors(counts: NDArray) -> NDArray[np.float64]:
    """AURC of `error_counts` ``(..., bins, 2)`` less that of a map which knows all errors: ``(...)``."""
    right, wrong = counts[..., 0], counts[..., 1]
    best = np.stack([right.sum(axis=-1), wrong.sum(axis=-1)], axis=-1)
    return area_of_counts(right + wrong, wrong) - area_of_counts(best, best * np.array([0.0, 1.0]))


def _dispute(counts: NDArray) -> NDArray[np.float64]:
    return auroc_of_counts(counts[..., 1:].sum(axis=-1), counts[..., 0])


_OF_DISAGREEMENT: dict[str, Callable[[NDArray], NDArray[np.float64]]] = {
    "disagreement_spearman": spearman_of_counts,
    "disagreement_auroc": _dispute,
}
_OF_ERRORS: dict[str, Callable[[NDArray], NDArray[np.float64]]] = {
    "error_auroc": lambda c: auroc_of_counts(c[..., 1], c[..., 0]),
    "aurc": lambda c: area_of_counts(c.sum(axis=-1), c[..., 1]),
    "excess_aurc": excess_area_of_errors,
}


def voxel_figures(
    disagreement: Mapping[str, NDArray],
    errors: Mapping[str, NDArray],
    patients: Sequence[str] | NDArray,
    samples: int = 1000,
    seed: int = 0,
) -> dict[tuple[str, str], Interval]:
    """Every map against the raters' entropy and against errors, over all voxels of all cases together.

    Args:
        disagreement: name of a map to ``(cases, UNCERTAINTY_BINS, DISPUTE_BINS)`` of `disagreement_counts`.
        errors: name of a map to ``(cases, UNCERTAINTY_BINS, 2)`` of `error_counts`.
        patients: ``(cases,)``.
        samples: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        ``(map, figure)`` to its value with the interval over patients: ``disagreement_spearman`` (with the entropy of
        the votes), ``disagreement_auroc`` (of telling voxels on which raters differ), ``error_auroc``, ``aurc`` and
        ``excess_aurc`` (of trials that are wrong).
    """
    out = {}
    for table, figures in ((disagreement, _OF_DISAGREEMENT), (errors, _OF_ERRORS)):
        for name, counts in table.items():
            for figure, of in figures.items():
                over = partial(_of_sums, of, np.shape(counts)[1:])
                out[name, figure] = bootstrap(counts, patients, over, samples, seed)
    return out


def _of_sums(
    of: Callable[[NDArray], NDArray[np.float64]], shape: tuple[int, ...], sums: NDArray[np.float64]
) -> NDArray[np.float64]:
    return of(sums.reshape(*sums.shape[:-1], *shape))
