"""How far the readings lie from the raters' masks: energy distances, matchings and diversities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import as_pairs
from probseg.analysis.distance_figures import DISTANCE_FIGURES, distance_figures
from probseg.analysis.pair_counts import pair_counts
from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.group import FigureGroup, FigureName, OfColumns, means

__all__ = ["ReadingDistances"]


class ReadingDistances(FigureGroup):
    """GED (V and U), its floor, matched IoU and Dice, best Dice and diversities: `DISTANCE_FIGURES`, means over cases.

    Defined in `probseg.analysis.energy`. A model of one draw is a point, whatever readings were kept of it. Without
    readings all but ``rater_diversity`` are undefined.
    """

    @property
    def figures(self) -> Mapping[FigureName, OfColumns]:
        """The figures of `DISTANCE_FIGURES`."""
        return means(map(FigureName, DISTANCE_FIGURES))

    def statistics(self, case: EvaluatedCase) -> NDArray[np.float64]:
        """Each figure as a value and a count."""
        prediction = case.prediction
        readings = prediction.mode[None] if prediction.num_draws == 1 else prediction.readings
        # one reading of a model of many draws is no distribution: with itself it would pass for a sure one
        chosen = readings if prediction.num_draws == 1 or len(readings) > 1 else readings[:0]
        pairs = pair_counts(chosen, case.masks, self.labels.num_classes, case.rated)
        return as_pairs(np.array([distance_figures(pairs)]))[0]
