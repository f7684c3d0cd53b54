"""Thresholds that keep a promise on new patients: conformal risk control.

A case's loss rises with the threshold, from 0 where everything is taken to 1 at most. With R the mean loss of n
calibration patients, the largest threshold for which ``(n R + 1) / (n + 1) <= alpha`` has an expected loss of at most
alpha for a new patient (Angelopoulos, Bates, Fisch, Lei and Schuster 2022, arXiv:2208.02814). Patients are the trials:
the losses of a patient's scans are averaged first. Like every conformal promise it is one on average over calibration
sets and new patients, not for each scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.region import foreground
from probseg.errors import ProbsegError

__all__ = [
    "THRESHOLDS",
    "RiskControl",
    "class_sets",
    "control_risk",
    "missed_foreground",
    "missed_votes",
    "set_sizes",
    "taken_foreground",
]

THRESHOLDS = np.linspace(0.0, 1.0, 1001)
"""Among which a threshold is chosen."""


def _share_below(values: NDArray, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values that lie below each rising threshold, 0 first; zeros where there are no values."""
    if not values.size:
        return np.zeros(len(thresholds))
    place = np.searchsorted(thresholds, values.ravel(), side="right")  # so many thresholds are not above it
    below = np.cumsum(np.bincount(place, minlength=len(thresholds) + 1))[: len(thresholds)]
    return below / values.size


def missed_foreground(
    probabilities: NDArray,
    masks: NDArray,
    rated: NDArray | None = None,
    admissible: NDArray[np.bool_] | None = None,
    thresholds: NDArray[np.float64] = THRESHOLDS,
) -> NDArray[np.float64]:
    """1 - sensitivity for the union of the raters, ``(thresholds,)``, when voxels at or above a threshold are taken.

    Args:
        probabilities: ``(classes, *space)`` mean; foreground is all but class 0.
        masks: ``(raters, *space)`` dense labels.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        admissible: ``(labels, classes)``, `LabelSet.admissible`: a label that excludes background was drawn; None for
            the classes alone.
        thresholds: rising, 0 first.

    Returns:
        Zeros where nobody drew anything: there is nothing to miss.
    """
    if admissible is None:
        drawn = foreground(masks, len(probabilities), rated)
    else:
        certain = ~admissible[:, 0][masks]
        drawn = (certain if rated is None else certain & rated).any(axis=0)
    return _share_below(_foreground(probabilities[:, drawn]), thresholds)


def _foreground(probabilities: NDArray) -> NDArray[np.float64]:
    # rounding may bring the background beyond 1
    return np.maximum(1.0 - probabilities[0].astype(np.float64), 0.0)


def taken_foreground(probabilities: NDArray, threshold: float) -> NDArray[np.bool_]:
    """``space``: what `missed_foreground` takes at a threshold; everything at 0."""
    return _foreground(probabilities) >= threshold


def missed_votes(
    probabilities: NDArray,
    masks: NDArray,
    rated: NDArray | None = None,
    region: NDArray[np.bool_] | None = None,
    thresholds: NDArray[np.float64] = THRESHOLDS,
) -> NDArray[np.float64]:
    """Share of raters' votes that lie outside the set of classes at or above a threshold, ``(thresholds,)``.

    Args:
        probabilities: ``(classes, *space)`` mean.
        masks: ``(raters, *space)`` dense labels; one that is no leaf class is no vote.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        region: ``space`` booleans, None for the whole image, where easy background makes every set look good.
        thresholds: rising, 0 first.

    Returns:
        Zeros where there is no vote.
    """
    inside = np.ones(masks.shape[1:], dtype=bool) if region is None else region
    votes, chosen = masks[:, inside], probabilities[:, inside]
    known = votes < len(probabilities)
    if rated is not None:
        known &= np.broadcast_to(rated, masks.shape)[:, inside]
    said = np.take_along_axis(chosen, np.where(known, votes, 0).astype(np.intp), axis=0)
    return _share_below(said[known].astype(np.float64), thresholds)


def class_sets(probabilities: NDArray, threshold: float) -> NDArray[np.bool_]:
    """``(classes, *space)``: which classes are in the set of each voxel; it may be empty at a high threshold."""
    return np.asarray(probabilities.astype(np.float64) >= threshold)


def set_sizes(probabilities: NDArray, threshold: float, region: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """``(classes + 1,)``: share of voxels whose set has 0, 1, ... classes; what a small miss rate costs."""
    sizes = class_sets(probabilities, threshold).sum(axis=0)
    sizes = sizes.ravel() if region is None else sizes[region]
    counts = np.bincount(sizes, minlength=len(probabilities) + 1)
    return np.asarray(counts / max(len(sizes), 1))


@dataclass(frozen=True)
class RiskControl:
    """A threshold with its promise.

    Attributes:
        threshold: take what is at or above; 0 takes everything, which keeps any promise.
        risk: the expected loss that is promised not to be exceeded, alpha.
        measured: mean loss of the calibration patients at the threshold.
        patients: how many there were.
    """

    threshold: float
    risk: float
    measured: float
    patients: int

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RiskControl:
        """What `to_dict` made.

        Raises:
            ProbsegError: E_SCHEMA where it is something else.
        """
        try:
            threshold, risk, measured = (float(data[name]) for name in ("threshold", "risk", "measured"))
            return cls(threshold, risk, measured, int(data["patients"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ProbsegError("E_SCHEMA", f"this is no controlled risk: {error!r}; fit it again") from error


def control_risk(
    losses: NDArray,
    patients: Sequence[str] | NDArray,
    risk: float,
    thresholds: NDArray[np.float64] = THRESHOLDS,
) -> RiskControl:
    """The largest threshold whose expected loss for a new patient is at most ``risk``.

    Args:
        losses: ``(cases, thresholds)`` within 0..1, not falling along the thresholds and 0 at the first.
        patients: ``(cases,)``, none of whom trained or chose the model.
        risk: alpha, between 0 and 1; 0.1 for an expected sensitivity of at least 0.9.
        thresholds: as for the losses.

    Returns:
        Threshold 0 with fewer than ``1 / alpha - 1`` patients: everything is then taken.

    Raises:
        ProbsegError: E_ARGUMENT for a risk outside 0..1, and for losses that are no such thing.
    """
    table = np.asarray(losses, dtype=np.float64).reshape(-1, len(thresholds))
    if not 0 < risk < 1:
        raise ProbsegError("E_ARGUMENT", f"risk must lie between 0 and 1, but is {risk}")
    if table.size and (table.min() < 0 or table.max() > 1 or table[:, 0].any() or (np.diff(table) < -1e-12).any()):
        raise ProbsegError("E_ARGUMENT", "losses must start at 0, not fall as thresholds rise, and stay within 0 and 1")
    names, which = np.unique(np.asarray(patients), return_inverse=True)
    n = len(names)
    sums = np.zeros((n, len(thresholds)))
    np.add.at(sums, which, table)
    means = sums / np.maximum(np.bincount(which, minlength=n), 1)[:, None]
    mean = means.mean(axis=0) if n else np.zeros(len(thresholds))
    kept = np.flatnonzero((n * mean + 1) / (n + 1) <= risk)
    best = int(kept[-1]) if len(kept) else 0
    return RiskControl(float(thresholds[best]), risk, float(mean[best]), n)
