"""Every figure that is made of the distances among readings and raters of one case."""

from __future__ import annotations

import math

import numpy as np

from probseg.analysis.energy import (
    best_similarity,
    matched_similarity,
    mean_distinct,
    perfect_model_floor,
    squared_energy_distance,
)
from probseg.analysis.overlap import dice
from probseg.analysis.pair_counts import PairCounts

__all__ = ["DISTANCE_FIGURES", "distance_figures"]

DISTANCE_FIGURES = ("ged_v", "ged_u", "ged_floor", "hm_iou", "d_max", "d_match", "diversity", "rater_diversity")


def distance_figures(pairs: PairCounts, stands_for: int = 1) -> list[float]:
    """The figures in the order of `DISTANCE_FIGURES`, defined in `probseg.analysis.energy`.

    A distribution of one reading is a point: it counts as two equal readings in GED (U), and its diversity is 0.

    Args:
        pairs: of the case.
        stands_for: how many equal readings a single one stands for in the floor.

    Returns:
        NaN where a figure is undefined; all of them without a rater, all but the last without a reading.
    """
    if pairs.num_raters == 0:
        return [math.nan] * len(DISTANCE_FIGURES)
    alike, dices = pairs.similarities(), pairs.similarities(dice).sy
    d_sy, d_ss, d_yy = (1.0 - matrix for matrix in alike)
    point = pairs.num_readings == 1
    distinct = np.zeros((2, 2)) if point else d_ss
    return [
        squared_energy_distance(d_sy, d_ss, d_yy),
        squared_energy_distance(d_sy, distinct, d_yy, unbiased=True),
        perfect_model_floor(d_yy, stands_for if point else pairs.num_readings),
        matched_similarity(alike.sy),
        best_similarity(dices),
        matched_similarity(dices),
        mean_distinct(distinct),
        mean_distinct(d_yy),
    ]
