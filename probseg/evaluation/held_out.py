"""The raters themselves with the model's ruler: each in turn stands in the model's place before the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.known import mean_known
from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.group import FigureGroup
from probseg.evaluation.volumes import drawn_ml
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS, PredictedDistribution

__all__ = ["UNDEFINED_FOR_A_MASK", "as_prediction", "held_out_statistics"]

UNDEFINED_FOR_A_MASK = ("ged_u", "diversity", "nll", "nll_image", "volume_crps", "ace")
"""Figures that a single mask has not: it gives probability 0 to what it did not draw, and is no distribution."""


def held_out_statistics(case: EvaluatedCase, groups: Sequence[FigureGroup]) -> tuple[NDArray[np.float64], ...] | None:
    """Statistics of every group with one rater held out, meaned over raters; None with fewer than two raters.

    The others are compared where the rater held out gave a leaf class: what he left open is no prediction.
    """
    if len(case.raters) < 2:
        return None
    found = [_without(case, k) for k in range(len(case.raters))]
    return tuple(mean_known([group.statistics(one) for one in found if one.raters]) for group in groups)


def _without(case: EvaluatedCase, rater: int) -> EvaluatedCase:
    others = case.of_raters([k for k in range(len(case.raters)) if k != rater])
    known = case.rated[rater] & (case.masks[rater] < case.labels.num_classes)
    return others.seen_as(as_prediction(case, rater), others.rated & known)


def as_prediction(case: EvaluatedCase, rater: int) -> PredictedDistribution:
    """One rater's mask as the prediction of a model that is sure of it."""
    classes = case.labels.num_classes
    mask = np.where(case.rated[rater] & (case.masks[rater] < classes), case.masks[rater], 0).astype(np.uint8)
    mean = (mask[None] == np.arange(classes).reshape(-1, *(1,) * mask.ndim)).astype(np.float32)
    nothing = np.zeros(mask.shape, dtype=np.float32)
    maps = dict.fromkeys(UNCERTAINTY_MAPS, nothing)
    return PredictedDistribution(mean, mask, mask[None], maps, 1, drawn_ml(case)[rater : rater + 1])
