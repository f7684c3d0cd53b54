"""Volumes: how much of a structure there is, and how well a predicted distribution of volumes fits the raters'."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probseg.labels import LabelSet

__all__ = ["LungParts", "crps", "log_volume_ratios", "lung_parts", "structure_voxels"]


def structure_voxels(label_counts: NDArray, membership: ArrayLike, complete: bool) -> float:
    """Number of voxels of one structure as one rater drew it; times the volume of a voxel it is the volume.

    Args:
        label_counts: ``(labels,)`` voxels of each dense label.
        membership: ``(labels,)`` of `LabelSet.membership`: 1 inside, 0 outside, -1 undecided.
        complete: whether the rater rated every voxel.

    Returns:
        NaN where it is undefined: part of the image was not rated, or a label leaves open whether its voxels belong to
        the structure. A part is never given out as the whole.
    """
    member = np.asarray(membership)
    if not complete or label_counts[member == -1].any():
        return math.nan
    return float(label_counts[member == 1].sum())


class LungParts(NamedTuple):
    """Which leaf classes make up the lung, and which of them are well aerated; both ``(classes,)`` booleans.

    ``aerated`` is None where the label set has no ``opacity``: nothing then says what is not aerated.
    """

    whole: NDArray[np.bool_]
    aerated: NDArray[np.bool_] | None


def lung_parts(labels: LabelSet) -> LungParts | None:
    """The lung of a label set: its class or group ``lung`` (or ``lungs``), with ``opacity`` where that lies outside.

    Some label sets count an opacity to the lung and some do not. The lung that percentages are of is what both make
    together, and well-aerated lung is lung without opacity. None where lung is not labelled.
    """
    lung = next((s for s in labels.structures if s.casefold() in ("lung", "lungs")), None)
    if lung is None:
        return None
    members = labels.members(lung)
    if "opacity" not in labels.structures:
        return LungParts(members, None)
    opacity = labels.members("opacity")
    return LungParts(members | opacity, members & ~opacity)


def log_volume_ratios(volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each rater's volume against the others' geometric mean: ``log v - mean of the others' log v``.

    Args:
        volumes: ``(..., raters)`` in any unit, NaN where undefined.

    Returns:
        ``(..., raters)``; 0 is no bias, log 2 is twice the others' volume. NaN where the rater or all others have no
        volume above 0: an empty mask has no logarithm, so such raters are left out.
    """
    logs = np.full(volumes.shape, np.nan)
    np.log(volumes, out=logs, where=volumes > 0)
    known = ~np.isnan(logs)
    others = known.sum(axis=-1, keepdims=True) - known
    total = np.where(known, logs, 0.0)
    rest = total.sum(axis=-1, keepdims=True) - total
    return logs - np.divide(rest, others, out=np.full(logs.shape, np.nan), where=others > 0)


def crps(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Continuous ranked probability score of a sample against observations; 0 is best, in the unit of both.

    Mean over observations y of ``E|X - y| - 1/2 E|X - X'|``, X the predicted values with equal weight, self-pairs
    included, in closed form (Gneiting and Raftery 2007, doi:10.1198/016214506000001437).

    Args:
        predicted: ``(draws,)``, for example volumes in mL.
        observed: ``(raters,)``.

    Returns:
        NaN when either is empty or holds NaN.

    Example:
        >>> crps([90, 110], [100, 120])
        10.0
    """
    x, y = np.sort(np.asarray(predicted, dtype=np.float64)), np.asarray(observed, dtype=np.float64)
    n = len(x)
    if n == 0 or len(y) == 0:
        return math.nan
    # Over sorted values the sum of |x_i - x_j| over all ordered pairs is 2 sum (2k - n + 1) x_k.
    spread = 2.0 * float(((2 * np.arange(n) - n + 1) * x).sum()) / n**2
    return float(np.abs(x[:, None] - y).mean() - 0.5 * spread)
