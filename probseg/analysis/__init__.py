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
from probseg.analysis.conformal import Absolute, ConformalIntervals, Relative, fit_conformal
from probseg.analysis.conventions import Convention, conventional_energy_distance, conventional_matched_overlap
from probseg.analysis.cross_correlation import normalized_cross_correlation
from probseg.analysis.detection import auroc, average_precision
from probseg.analysis.energy import (
    d_match,
    d_max,
    energy_distance_floor,
    generalized_energy_distance,
    hungarian_matched_iou,
)
from probseg.analysis.entropy import complete_agreement, rater_entropy
from probseg.analysis.expected_agreement import ExpectedAgreement, expected_agreement
from probseg.analysis.failure import FailureFigures, failure_figures
from probseg.analysis.image_scores import image_scores, mean_pairwise_dice
from probseg.analysis.interval_coverage import IntervalCoverage, interval_coverage
from probseg.analysis.kappa import cohen_kappa, fleiss_kappa, kappa_and_alpha, krippendorff_alpha
from probseg.analysis.overlap import pairwise_dice
from probseg.analysis.rank_correlation import spearman
from probseg.analysis.rater_likelihood import rater_log_likelihood
from probseg.analysis.risk_control import RiskControl, control_risk
from probseg.analysis.risk_coverage import RiskCoverage, risk_coverage
from probseg.analysis.simple_fusion import SimpleResult, simple_fusion
from probseg.analysis.softdice import soft_dice
from probseg.analysis.staple import StapleResult, staple
from probseg.analysis.surfaces import surface_dice, surface_distance
from probseg.analysis.uncertainty_split import SplitFigures, split_sentence, uncertainty_split
from probseg.analysis.volume_agreement import bland_altman, icc
from probseg.analysis.volume_intervals import volume_intervals
from probseg.analysis.volume_scores import CaseVolumes, VolumeFigure, volume_figures
from probseg.analysis.volume_structures import VolumeStructures
from probseg.analysis.volumes import crps
from probseg.analysis.voxel_ranking import voxel_figures

__all__ = [
    "Absolute",
    "AgreementReport",
    "CaseVolumes",
    "ConformalIntervals",
    "Convention",
    "ExpectedAgreement",
    "FailureFigures",
    "Interval",
    "IntervalCoverage",
    "Relative",
    "RiskControl",
    "RiskCoverage",
    "SimpleResult",
    "SplitFigures",
    "StapleResult",
    "VolumeFigure",
    "VolumeStructures",
    "analyse",
    "auroc",
    "average_precision",
    "bland_altman",
    "bootstrap",
    "bootstrap_mean",
    "brier_score",
    "calibration_error",
    "calibration_sums",
    "classwise_calibration_error",
    "cohen_kappa",
    "complete_agreement",
    "control_risk",
    "conventional_energy_distance",
    "conventional_matched_overlap",
    "crps",
    "d_match",
    "d_max",
    "energy_distance_floor",
    "expected_agreement",
    "failure_figures",
    "fit_conformal",
    "fleiss_kappa",
    "generalized_energy_distance",
    "hungarian_matched_iou",
    "icc",
    "image_scores",
    "interval_coverage",
    "kappa_and_alpha",
    "krippendorff_alpha",
    "mean_pairwise_dice",
    "negative_log_likelihood",
    "normalized_cross_correlation",
    "pairwise_dice",
    "rater_entropy",
    "rater_log_likelihood",
    "risk_coverage",
    "simple_fusion",
    "soft_dice",
    "spearman",
    "split_sentence",
    "staple",
    "surface_dice",
    "surface_distance",
    "uncertainty_split",
    "volume_figures",
    "volume_intervals",
    "voxel_figures",
]
