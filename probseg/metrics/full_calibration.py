"""Everything about the calibration of one distribution: over all, by class, by rater and by site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from probseg.analysis.bootstrap import Interval
from probseg.batch import Batch
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric
from probseg.metrics.calibration import CalibrationScores
from probseg.metrics.classwise import ClasswiseCalibration
from probseg.metrics.rater_calibration import RaterCalibration

__all__ = ["CalibrationRow", "FullCalibration"]


@dataclass(frozen=True)
class CalibrationRow:
    """One figure of calibration; of one class, rater or site where its name is not empty."""

    metric: str
    interval: Interval
    class_name: str = ""
    rater: str = ""
    site: str = ""


class FullCalibration(nn.Module):
    """The calibration metrics of a stage, updated together.

    Args:
        class_names: of the leaf classes.
        admissible: ``(labels, classes)`` bool.
        raters: names of the raters as ``Batch.rater`` counts them; none where nobody knows who they are.
    """

    def __init__(self, class_names: Sequence[str], admissible: Tensor, raters: Sequence[str] = ()) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        self.scores = CalibrationScores(len(class_names), admissible=admissible)
        self.classwise = ClasswiseCalibration(len(class_names))
        self.raters = RaterCalibration(raters, admissible) if raters else None

    @property
    def metrics(self) -> list[CaseMetric]:
        """Each of them, to be synced over processes."""
        return [m for m in (self.scores, self.classwise, self.raters) if m is not None]

    def update(self, distribution: SegmentationDistribution, batch: Batch) -> None:
        """Add a batch."""
        case = (distribution, batch.masks, batch.rated)
        self.scores.update(*case, batch.index, batch.patient, batch.spacing_mm)
        self.classwise.update(*case, batch.index, batch.patient, batch.spacing_mm)
        if self.raters is not None:
            self.raters.add(*case, batch.rater, batch.index, batch.patient, batch.spacing_mm)

    def rows(self, sites: Mapping[int, str] | None = None, samples: int = 1000) -> Iterator[CalibrationRow]:
        """Every figure with its 95 % patient-bootstrap interval.

        Args:
            sites: index of a case to its site; figures of single sites are given where there are two or more.
            samples: of the bootstrap.
        """
        for metric, interval in self.overall(samples).items():
            yield CalibrationRow(metric, interval)
        for name, figures in zip(self.class_names, self.classwise.of_classes(samples), strict=True):
            for metric, interval in figures.items():
                yield CalibrationRow(metric, interval, class_name=name)
        for name, figures in ({} if self.raters is None else self.raters.of_raters(samples)).items():
            for metric, interval in figures.items():
                yield CalibrationRow(metric, interval, rater=name)
        index = self.scores.cases()[0]
        site_of = np.array([(sites or {}).get(int(k), "") for k in index], dtype=object)
        for site in sorted(set(site_of) - {""}) if len(set(site_of)) > 1 else ():
            for metric, interval in self.overall(samples, index[site_of == site]).items():
                yield CalibrationRow(metric, interval, site=site)

    def overall(self, samples: int = 1000, only: np.ndarray | None = None) -> dict[str, Interval]:
        """The figures of all cases, or of those whose index is in ``only``."""
        found = [m.intervals(samples, only=only) for m in (self.scores, self.classwise)]
        return {name: value for part in found for name, value in part.items()}
