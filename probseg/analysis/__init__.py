"""Figures in NumPy and SciPy: raters among themselves, and a model's distribution against them.

Importing this package never imports torch, so that ``probseg agreement`` starts at once.
"""

from __future__ import annotations

from probseg.analysis.agreement import AgreementReport, analyse
from probseg.analysis.bootstrap import Interval, bootstrap, bootstrap_mean
from probseg.analysis.calibration import calibration_error
from probseg.analysis.energy import energy_distance_floor, generalized_energy_distance, hungarian_matched_iou
from probseg.analysis.entropy import complete_agreement, rater_entropy
from probseg.analysis.overlap import pairwise_dice
from probseg.analysis.softdice import soft_dice
from probseg.analysis.surfaces import surface_distance
from probseg.analysis.volumes import crps

__all__ = [
    "AgreementReport",
    "Interval",
    "analyse",
    "bootstrap",
    "bootstrap_mean",
    "calibration_error",
    "complete_agreement",
    "crps",
    "energy_distance_floor",
    "generalized_energy_distance",
    "hungarian_matched_iou",
    "pairwise_dice",
    "rater_entropy",
    "soft_dice",
    "surface_distance",
]
