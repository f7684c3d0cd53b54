"""Figures in NumPy and SciPy: raters among themselves, and a model's distribution against them.

Importing this package never imports torch, so that ``probseg agreement`` starts at once.
"""

from __future__ import annotations

from probseg.analysis.bootstrap import Interval, bootstrap, bootstrap_mean
from probseg.analysis.calibration import calibration_error
from probseg.analysis.energy import energy_distance_floor, generalized_energy_distance, hungarian_matched_iou
from probseg.analysis.overlap import pairwise_dice
from probseg.analysis.softdice import soft_dice

__all__ = [
    "Interval",
    "bootstrap",
    "bootstrap_mean",
    "calibration_error",
    "energy_distance_floor",
    "generalized_energy_distance",
    "hungarian_matched_iou",
    "pairwise_dice",
    "soft_dice",
]
