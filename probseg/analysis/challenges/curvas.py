"""The evaluation of CURVAS: overlap and confidence where raters agree, calibration against each, CRPS of volumes.

Calibration and Uncertainty for multiRater Volume Assessment in multiorgan Segmentation, MICCAI 2024. The definitions
are those of Riera-Marin et al. (2025), arXiv:2505.08685, doi:10.1016/j.compbiomed.2025.111024, and of the released
evaluation, github.com/SYCAI-Technologies/curvas-challenge, CURVAS_2024/evaluation_metrics/metrics.py. Where that
computes something else than it says, both are here, and the docstring tells which is which. The code was written anew
from these; none of it is copied.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from probseg.analysis.calibration.top_class import calibration_counts, expected_calibration_error
from probseg.errors import ProbsegError

__all__ = [
    "consensus_confidence",
    "consensus_dice",
    "consensus_dice_of_lines",
    "gaussian_volume_crps",
    "rater_calibration_errors",
    "trunk",
]

_BINS = 50
_KNOTS = np.linspace(ndtri(0.01), ndtri(0.99), 100)  # of the raters' Gaussian, in standard deviations
_REACH = 3.0  # the integral ends so many standard deviations from the mean


def consensus_dice(mode: NDArray, masks: NDArray, label: int, rated: NDArray | None = None) -> float:
    """Dice with what all raters drew, where they agree: voxels that some drew and some did not are left out.

    ``2 |A and B| / (|A| + |B|)``, B the voxels that every rater calls ``label`` and A those of the prediction among
    voxels that every rater or no rater calls so.

    Args:
        mode: ``space`` integer label map, the prediction.
        masks: ``(raters, *space)`` integer label maps.
        label: of the organ.
        rated: ``(raters, *space)`` booleans; voxels that not all raters looked at are left out. None for everywhere.

    Returns:
        0..1. NaN where the raters agree on no voxel of the organ and none is predicted where they agree.

    Example:
        >>> consensus_dice(np.array([1, 1, 0, 1]), np.array([[1, 1, 1, 0], [1, 0, 1, 0]]), 1)
        0.5
    """
    drawn, left = _consensus(masks, label, rated)
    found = (mode == label) & (drawn | left)
    size = int(found.sum()) + int(drawn.sum())
    return 2.0 * int((found & drawn).sum()) / size if size else math.nan


def consensus_dice_of_lines(mode: NDArray, masks: NDArray, label: int, rated: NDArray | None = None) -> float:
    """`consensus_dice` as the released code computes it: of each row of voxels, then meaned over rows and slices.

    The code hands ``(slices, rows, columns)`` to MONAI's `DiceMetric`, which takes the first axis for cases and the
    second for classes, without background. So it is the mean over slices of the mean over rows of Dice over columns.
    Rows in which the raters agree on no voxel of the organ are not counted, whatever is predicted there, and neither
    is the first row of every slice. Which axis of the file is a row is not published; here it is the canonical one,
    from front to back, as SimpleITK reads an axial CT.

    Args:
        mode: ``(slices, rows, columns)`` integer label map, the prediction.
        masks: ``(raters, slices, rows, columns)``.
        label: of the organ.
        rated: as for `consensus_dice`.

    Returns:
        0..1; NaN where no row counts, for which the released code gives 0.

    Raises:
        ProbsegError: E_NDIM for an image that is no volume.

    Example:
        >>> mode = np.array([[[0, 0], [1, 1], [1, 1]]])
        >>> masks = np.array([[[[0, 0], [1, 0], [0, 0]]]])
        >>> round(consensus_dice_of_lines(mode, masks, 1), 3), round(consensus_dice(mode, masks, 1), 3)
        (0.667, 0.4)
    """
    if mode.ndim != 3:
        raise ProbsegError("E_NDIM", f"rows and slices are those of a volume, but the prediction has {mode.ndim} axes")
    drawn, left = _consensus(masks, label, rated)
    found = ((mode == label) & (drawn | left))[:, 1:]
    drawn = drawn[:, 1:]
    size = (found.sum(axis=2) + drawn.sum(axis=2)).astype(np.float64)  # (slices, rows)
    counts = drawn.any(axis=2)
    dice = np.divide(2.0 * (found & drawn).sum(axis=2), size, out=np.zeros(size.shape), where=counts)
    rows = counts.sum(axis=1)
    return float((dice.sum(axis=1)[rows > 0] / rows[rows > 0]).mean()) if rows.any() else math.nan


def consensus_confidence(probability: NDArray, masks: NDArray, label: int, rated: NDArray | None = None) -> float:
    """How sure the prediction is where all raters agree: ``(mean p where all drew + mean 1 - p where none did) / 2``.

    Args:
        probability: ``space``, of ``label``.
        masks: ``(raters, *space)`` integer label maps.
        label: of the organ.
        rated: as for `consensus_dice`.

    Returns:
        0..1, of which 1/2 is no better than a constant. NaN where raters agree on no voxel of the organ, or on none
        outside.

    Example:
        >>> consensus_confidence(np.array([0.75, 0.5, 0.5, 0.0]), np.array([[1, 1, 0, 0], [1, 0, 0, 0]]), 1)
        0.75
    """
    drawn, left = _consensus(masks, label, rated)
    if not drawn.any() or not left.any():
        return math.nan
    inside, outside = (float(probability[where].mean(dtype=np.float64)) for where in (drawn, left))
    return (inside + 1.0 - outside) / 2.0


def rater_calibration_errors(
    probabilities: NDArray, masks: NDArray, rated: NDArray | None = None, bins: int = _BINS
) -> NDArray[np.float64]:
    """Expected calibration error of the top class against each rater alone, over all voxels; the challenge means them.

    torchmetrics' `MulticlassCalibrationError` with 50 bins and the l1 norm, which keeps a bin of its own for voxels of
    probability 1: such a voxel's error is not cancelled by one of 0.99.

    Args:
        probabilities: ``(classes, *space)``, summing to 1; the challenge takes background as 1 less the organs.
        masks: ``(raters, *space)`` integer label maps.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        bins: number of equal-width bins.

    Returns:
        ``(raters,)``, 0 is best; NaN for a rater who looked at nothing.
    """
    sure = probabilities.max(axis=0) >= 1
    found = []
    for r in range(len(masks)):
        own = None if rated is None else rated[r : r + 1]
        parts = [calibration_counts(probabilities, masks[r : r + 1], own, where, bins) for where in (~sure, sure)]
        found.append(float(expected_calibration_error(np.concatenate(parts))))
    return np.array(found)


def gaussian_volume_crps(predicted: float, observed: ArrayLike) -> float:
    """CRPS of one predicted volume against a Gaussian fitted on the raters' volumes; 0 is best, in their unit.

    ``integral of (F(y) - [y >= predicted])^2 dy`` from 3 standard deviations below the raters' mean to 3 above it; F is
    the Gaussian of their mean and standard deviation (that of a population, over n), drawn as straight lines between
    100 points from its 1st to its 99th percentile, 0 below these and 1 above.

    The distribution is that of the raters, and the prediction is a number: the sum of the organ's probabilities. Since
    the integral ends at 3 standard deviations, a prediction beyond is not judged worse than one there; the largest
    score is 2.44 standard deviations. And since the raters' spread is part of it, 0 is reached by no prediction: the
    best, at their mean, scores 0.23 standard deviations.

    Args:
        predicted: volume, in any unit.
        observed: ``(raters,)`` volumes in the same unit; NaN is left out.

    Returns:
        NaN where the raters' volumes are all the same, for they make no Gaussian, and where one of the two is unknown.

    Example:
        >>> round(gaussian_volume_crps(100.0, [90.0, 100.0, 110.0]), 3)
        1.908
    """
    known = np.asarray(observed, dtype=np.float64)
    known = known[~np.isnan(known)]
    spread = float(known.std()) if len(known) else 0.0
    if math.isnan(predicted) or spread == 0:
        return math.nan
    at = (predicted - float(known.mean())) / spread
    ends = np.unique(np.clip([-_REACH, at, _REACH, *_KNOTS], -_REACH, _REACH))
    low, high = ends[:-1], ends[1:]
    middle = (low + high) / 2
    inside = (middle > _KNOTS[0]) & (middle < _KNOTS[-1])
    step = (middle >= at).astype(np.float64)
    a, b = (np.where(inside, np.interp(x, _KNOTS, ndtr(_KNOTS)), middle > 0) - step for x in (low, high))
    return float(((high - low) * (a * a + a * b + b * b) / 3).sum()) * spread


def trunk(image: NDArray) -> tuple[slice, slice]:
    """Rows and columns with all voxels above 0 HU of a CT ``(slices, rows, columns)``: what the challenge looks at.

    The released code cuts image, masks and prediction to these before it measures anything, in rows and columns only.
    Of the figures here it changes `rater_calibration_errors` and `consensus_confidence`, which count background.

    Returns:
        Two slices; the whole plane where nothing is above 0.

    Example:
        >>> trunk(np.array([[[-9, -9, -9], [-9, 5, 5]], [[-9, -9, -9], [-9, 5, -9]]]))
        (slice(1, 2, None), slice(1, 3, None))
    """
    plane = np.any(image > 0, axis=0)
    if not plane.any():
        return slice(0, plane.shape[0]), slice(0, plane.shape[1])
    rows, columns = (np.flatnonzero(np.any(plane, axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _consensus(masks: NDArray, label: int, rated: NDArray | None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """``space`` booleans: what every rater drew, and what none drew, of voxels that all looked at."""
    own = masks == label
    drawn, left = own.all(axis=0), ~own.any(axis=0)
    if rated is None:
        return drawn, left
    looked = np.broadcast_to(rated, masks.shape).all(axis=0)
    return drawn & looked, left & looked
