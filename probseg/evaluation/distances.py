"""How far the readings lie from the raters' masks: energy distances, matchings and diversities."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import as_pairs
from probseg.analysis.energy import matched_similarity, mean_distinct, perfect_model_floor, squared_energy_distance
from probseg.analysis.overlap import iou_matrix
from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.group import FigureGroup, FigureName, OfColumns, means

__all__ = ["ReadingDistances"]

_NAMES = ("ged_v", "ged_u", "ged_floor", "hm_iou", "diversity", "rater_diversity")


class ReadingDistances(FigureGroup):
    """``ged_v``, ``ged_u``, ``ged_floor``, ``hm_iou``, ``diversity`` and ``rater_diversity``, means over cases.

    Defined in `probseg.analysis.energy`. A model of one draw is a point: its reading stands for two equal ones in GED
    (U), and its diversity is 0. Without readings all but ``rater_diversity`` are undefined.
    """

    @property
    def figures(self) -> Mapping[FigureName, OfColumns]:
        """The six figures."""
        return means(map(FigureName, _NAMES))

    def statistics(self, case: EvaluatedCase) -> NDArray[np.float64]:
        """Each figure as a value and a count."""
        return as_pairs(np.array([self._figures(case)]))[0]

    def _figures(self, case: EvaluatedCase) -> list[float]:
        classes, prediction = self.labels.num_classes, case.prediction
        readings = prediction.mode[None] if prediction.num_draws == 1 else prediction.readings
        known = ((case.masks < classes) & case.rated).any(axis=tuple(range(1, case.masks.ndim)))
        masks, rated = case.masks[known], case.rated[known]
        if not len(masks):
            return [math.nan] * len(_NAMES)
        d_yy = 1.0 - iou_matrix(masks, masks, classes, rated, rated)
        if not len(readings):
            return [*[math.nan] * (len(_NAMES) - 1), mean_distinct(d_yy)]
        similarity = iou_matrix(readings, masks, classes, None, rated)
        d_ss = 1.0 - iou_matrix(readings, readings, classes)
        unbiased = np.zeros((2, 2)) if prediction.num_draws == 1 else d_ss
        return [
            squared_energy_distance(1.0 - similarity, d_ss, d_yy),
            squared_energy_distance(1.0 - similarity, unbiased, d_yy, unbiased=True),
            perfect_model_floor(d_yy, len(readings)),
            matched_similarity(similarity),
            mean_distinct(unbiased),
            mean_distinct(d_yy),
        ]
