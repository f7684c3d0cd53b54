"""A model's distribution against the raters, as torchmetrics: ``update(distribution, masks, rated)``."""

from __future__ import annotations

from probseg.metrics.base import CaseMetric
from probseg.metrics.calibration import CalibrationScores
from probseg.metrics.classwise import ClasswiseCalibration
from probseg.metrics.cross_correlation import CrossCorrelation
from probseg.metrics.energy import EnergyDistances
from probseg.metrics.evaluation import Evaluation
from probseg.metrics.full_calibration import FullCalibration
from probseg.metrics.likelihood import RaterLikelihood
from probseg.metrics.overlap import OverlapScores
from probseg.metrics.rater_calibration import RaterCalibration
from probseg.metrics.risk_coverage import RiskCoverageScores
from probseg.metrics.volumes import VolumeScores

__all__ = [
    "CalibrationScores",
    "CaseMetric",
    "ClasswiseCalibration",
    "CrossCorrelation",
    "EnergyDistances",
    "Evaluation",
    "FullCalibration",
    "OverlapScores",
    "RaterCalibration",
    "RaterLikelihood",
    "RiskCoverageScores",
    "VolumeScores",
]
