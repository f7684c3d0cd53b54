"""How probable the whole masks of raters are under a distribution of readings."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

__all__ = ["mask_log_likelihoods", "rater_log_likelihood"]

_BLOCK_BYTES = 1 << 25


def rater_log_likelihood(
    log_probabilities: NDArray, masks: NDArray, admissible: NDArray | None = None, rated: NDArray | None = None
) -> float:
    """Log-likelihood of the raters' masks, in nats a rated voxel: 0 is best.

        sum over raters of log( mean over readings of p(whole mask | reading) ) / number of rated voxels of all raters

    A model that places its doubt in whole readings is rewarded; the mean of the readings' probabilities would not tell.
    Arguments as for `mask_log_likelihoods`; NaN where nothing is rated.

    Example:
        >>> readings = np.log([[[0.9, 0.9], [0.1, 0.1]], [[0.1, 0.1], [0.9, 0.9]]])  # all 0, or all 1
        >>> round(rater_log_likelihood(readings, np.array([[1, 1]])), 3)  # log((0.01 + 0.81) / 2) / 2
        -0.446
    """
    known = _known(log_probabilities.shape[1], masks, admissible, rated)
    voxels = int(known.sum())
    each = mask_log_likelihoods(log_probabilities, masks, admissible, rated)
    return float(each.sum() / voxels) if voxels else math.nan


def mask_log_likelihoods(
    log_probabilities: NDArray, masks: NDArray, admissible: NDArray | None = None, rated: NDArray | None = None
) -> NDArray[np.float64]:
    """``(raters,)``: log of the mean over readings of p(whole mask | reading), nats; 0 for a rater who rated nothing.

    Args:
        log_probabilities: ``(N, classes, *space)``, normalised over classes.
        masks: ``(raters, *space)`` integer label maps.
        admissible: ``(labels, classes)`` booleans, `LabelSet.admissible`: a group counts by the total probability of
            its classes, and a label that admits all of them as not rated. None for leaf classes only; any other label
            then counts as not rated.
        rated: ``(raters, *space)`` booleans, None for everywhere.
    """
    n, classes = log_probabilities.shape[:2]
    if 0 in (n, len(masks)):
        return np.full(len(masks), math.nan)
    flat, drawn = log_probabilities.reshape(n, classes, -1), masks.reshape(len(masks), -1)
    known = _known(classes, masks, admissible, rated).reshape(drawn.shape)
    table = np.eye(classes, dtype=bool) if admissible is None else np.asarray(admissible, dtype=bool)
    total = np.zeros((n, len(drawn)))
    step = max(1, _BLOCK_BYTES // (8 * max(1, n * classes)))
    for start in range(0, drawn.shape[1], step):
        part = slice(start, start + step)
        for label in np.unique(drawn[:, part][known[:, part]]):
            log_p = np.logaddexp.reduce(flat[:, table[label], part].astype(np.float64), axis=1)  # (N, voxels)
            for rater, mask in enumerate((drawn[:, part] == label) & known[:, part]):
                total[:, rater] += log_p[:, mask].sum(axis=1)
    return np.asarray(logsumexp(total, axis=0) - math.log(n))


def _known(classes: int, masks: NDArray, admissible: NDArray | None, rated: NDArray | None) -> NDArray[np.bool_]:
    table = np.eye(classes, dtype=bool) if admissible is None else np.asarray(admissible, dtype=bool)
    says: NDArray[np.bool_] = np.any(~table, axis=1)
    known = (masks >= 0) & (masks < len(says))
    known &= says[np.where(known, masks, 0)]
    return known if rated is None else known & rated
