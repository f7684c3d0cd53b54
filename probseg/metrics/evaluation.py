"""All figures at once: what validation and test of every family compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from probseg.analysis.bootstrap import Interval
from probseg.batch import Batch
from probseg.distribution import SegmentationDistribution
from probseg.labels import LabelSet
from probseg.metrics.base import CaseMetric
from probseg.metrics.calibration import CalibrationScores, write_reliability
from probseg.metrics.classwise import ClasswiseCalibration
from probseg.metrics.cross_correlation import CrossCorrelation
from probseg.metrics.energy import EnergyDistances
from probseg.metrics.likelihood import RaterLikelihood
from probseg.metrics.overlap import OverlapScores
from probseg.metrics.risk_coverage import RiskCoverageScores
from probseg.metrics.volumes import VolumeScores

__all__ = ["Evaluation"]


class Evaluation(nn.Module):
    """The metrics of a stage, updated together.

    Args:
        num_classes: C, background included.
        admissible: ``(labels, classes)`` bool.
        readings: see `EnergyDistances`.
        labels: the label set, for volumes; None measures none.
    """

    def __init__(self, num_classes: int, admissible: Tensor, readings: int = 1, labels: LabelSet | None = None) -> None:
        super().__init__()
        self.calibration = CalibrationScores(num_classes, admissible=admissible)
        self.metrics: list[CaseMetric] = [
            EnergyDistances(num_classes, readings),
            OverlapScores(num_classes),
            RaterLikelihood(admissible),
            CrossCorrelation(num_classes),
            self.calibration,
            ClasswiseCalibration(num_classes),
            RiskCoverageScores(num_classes),
        ]
        self.volumes = None if labels is None else VolumeScores(labels)
        if self.volumes is not None:
            self.metrics.append(self.volumes)
        self.registered = nn.ModuleList(self.metrics)

    def update(self, distribution: SegmentationDistribution, batch: Batch) -> None:
        """Add a batch to every metric."""
        compared = (distribution, batch.masks, batch.rated, batch.index, batch.patient, batch.spacing_mm)
        for metric in self.metrics:
            if isinstance(metric, VolumeScores):
                metric.update(*compared, batch.scan, batch.voxel_ml)
            else:
                metric.update(*compared)

    def compute(self) -> dict[str, Tensor]:
        """Every figure over the cases of all processes."""
        return {name: value for metric in self.metrics for name, value in metric.compute().items()}

    def intervals(self, samples: int = 1000, only: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """Every figure with its 95 % patient-bootstrap interval; ``only`` names the cases that count, None for all."""
        return {name: v for metric in self.metrics for name, v in metric.intervals(samples, only=only).items()}

    def index(self) -> NDArray[np.int64]:
        """Which cases, in the order of `per_case`."""
        return self.metrics[0].cases()[0]

    def per_case(self) -> dict[str, NDArray[np.float64]]:
        """Every figure of every case; volumes are of scans and are left out where cases are slices of them."""
        of_cases = [m for m in self.metrics if m is not self.volumes or np.array_equal(m.cases()[0], self.index())]
        return {name: value for metric in of_cases for name, value in metric.per_case().items()}

    def write_reliability(self, path: Path, family: str) -> None:
        """The reliability curve as a table; empty bins have count 0 and no confidence or frequency."""
        write_reliability(path, family, self.calibration.reliability())
