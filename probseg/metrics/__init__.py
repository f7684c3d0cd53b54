"""A model's distribution against the raters, as torchmetrics: ``update(distribution, masks, rated)``."""

from __future__ import annotations

from probseg.metrics.base import CaseMetric
from probseg.metrics.calibration import CalibrationScores
from probseg.metrics.energy import EnergyDistances
from probseg.metrics.evaluation import Evaluation
from probseg.metrics.likelihood import RaterLikelihood
from probseg.metrics.overlap import OverlapScores
from probseg.metrics.volumes import VolumeScores

__all__ = [
    "CalibrationScores",
    "CaseMetric",
    "EnergyDistances",
    "Evaluation",
    "OverlapScores",
    "RaterLikelihood",
    "VolumeScores",
]
