"""Figures in NumPy and SciPy: raters among themselves, and a model's distribution against them.

Importing this package never imports torch, so that ``probseg agreement`` starts at once.
"""

from __future__ import annotations

from probseg.analysis.agreement import AgreementReport, analyse
from probseg.analysis.bootstrap import Interval, bootstrap, bootstrap_mean
from probseg.analysis.calibration import (
    brier_score,
    calibration_error,
    calibration_sums,
    classwise_calibration_error,
    negative_log_likelihood,
)
from probseg.analysis.conventions import Convention, conventional_energy_distance, conventional_matched_overlap
from probseg.analysis.cross_correlation import normalized_cross_correlation
from probseg.analysis.energy import (
    d_match,
    d_max,
    energy_distance_floor,
    generalized_energy_distance,
    hungarian_matched_iou,
)
from probseg.analysis.entropy import complete_agreement, rater_entropy
from probseg.analysis.kappa import cohen_kappa, fleiss_kappa, kappa_and_alpha, krippendorff_alpha
from probseg.analysis.overlap import pairwise_dice
from probseg.analysis.rater_likelihood import rater_log_likelihood
from probseg.analysis.simple_fusion import SimpleResult, simple_fusion
from probseg.analysis.softdice import soft_dice
from probseg.analysis.staple import StapleResult, staple
from probseg.analysis.surfaces import surface_dice, surface_distance
from probseg.analysis.volume_agreement import bland_altman, icc
from probseg.analysis.volumes import crps

__all__ = [
    "AgreementReport",
    "Convention",
    "Interval",
    "SimpleResult",
    "StapleResult",
    "analyse",
    "bland_altman",
    "bootstrap",
    "bootstrap_mean",
    "brier_score",
    "calibration_error",
    "calibration_sums",
    "classwise_calibration_error",
    "cohen_kappa",
    "complete_agreement",
    "conventional_energy_distance",
    "conventional_matched_overlap",
    "crps",
    "d_match",
    "d_max",
    "energy_distance_floor",
    "fleiss_kappa",
    "generalized_energy_distance",
    "hungarian_matched_iou",
    "icc",
    "kappa_and_alpha",
    "krippendorff_alpha",
    "negative_log_likelihood",
    "normalized_cross_correlation",
    "pairwise_dice",
    "rater_entropy",
    "rater_log_likelihood",
    "simple_fusion",
    "soft_dice",
    "staple",
    "surface_dice",
    "surface_distance",
]
