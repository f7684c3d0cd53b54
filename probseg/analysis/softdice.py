"""Soft Dice: do the model's probabilities draw the same level lines as the share of raters?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.known import mean_of_known

__all__ = ["THRESHOLDS", "soft_dice"]

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def soft_dice(
    probability: NDArray,
    masks: NDArray,
    thresholds: Sequence[float] = THRESHOLDS,
    rated: NDArray | None = None,
    at_least: bool = False,
    both_empty: float = math.nan,
) -> float:
    """Dice of the mean prediction and the mean rater map, both above a threshold, averaged over thresholds (QUBIQ).

    Args:
        probability: ``space``, of the foreground, any label but 0; or ``(classes, *space)``, then averaged over
            the foreground classes too.
        masks: ``(raters, *space)`` integer label maps; given classes, a label beyond them is not rated.
        thresholds: a voxel is drawn where the value is greater than the threshold.
        rated: ``(raters, *space)`` booleans; the mean map is the share among those who rated a voxel, and voxels that
            nobody rated are left out.
        at_least: whether a voxel is drawn where the value is the threshold, too; see
            `probseg.analysis.challenges.level_dice`.
        both_empty: score of a threshold (and class) where both are empty; NaN leaves it out of the mean.

    Returns:
        0..1. NaN where nobody rated anything, and when leaving out leaves nothing.
    """
    looked = np.ones(masks.shape, dtype=bool) if rated is None else np.broadcast_to(rated, masks.shape)
    if probability.ndim == masks.ndim - 1:
        pairs = [(probability, masks != 0)]
    else:
        looked = looked & (masks >= 0) & (masks < len(probability))
        pairs = [(probability[c], masks == c) for c in range(1, len(probability))]
    count = looked.sum(axis=0)
    scores = []
    for predicted, drawn in pairs:
        votes = (drawn & looked).sum(axis=0)
        for threshold in thresholds:
            # Votes are whole numbers: 3 of 10 is not above 0.3, whatever 3/10 rounds to.
            if at_least:
                a, b = (predicted >= threshold) & (count > 0), (votes >= threshold * count - 1e-9) & (count > 0)
            else:
                a, b = (predicted > threshold) & (count > 0), votes > threshold * count + 1e-9
            size = int(a.sum()) + int(b.sum())
            scores.append(2.0 * int((a & b).sum()) / size if size else both_empty)
    return mean_of_known(np.array(scores)) if count.any() else math.nan
