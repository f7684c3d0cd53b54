"""Each case measured apart from all others: read, put beside its prediction, and reduced to small statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.repeats import separate_repeats
from probseg.errors import ProbsegError, gathered_warnings
from probseg.evaluation.calibration import RaterCalibration, rater_counts
from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.distances import ReadingDistances
from probseg.evaluation.group import FigureGroup
from probseg.evaluation.held_out import held_out_statistics
from probseg.evaluation.overlaps import ModeOverlaps
from probseg.evaluation.promises import CasePromises, case_promises
from probseg.evaluation.ranking import CaseScores, case_scores
from probseg.evaluation.volumes import PredictedVolumes
from probseg.io.predicted import PredictedCase
from probseg.io.predicted_distribution import read_distribution
from probseg.labels import LabelSet
from probseg.parallel import spread
from probseg.records import CaseRecord, Dataset

__all__ = ["GROUPS", "CaseEvaluation", "evaluate_case", "groups_of", "measure_cases"]

GROUPS: tuple[type[FigureGroup], ...] = (ReadingDistances, ModeOverlaps, RaterCalibration, PredictedVolumes)
"""What is measured, in the order of ``results.csv``."""


@dataclass(frozen=True, eq=False)
class CaseEvaluation:
    """What one case contributes.

    Attributes:
        case_id, patient_id, site: as the dataset has them.
        num_raters: raters who rated any of it.
        num_readings: readings that were there to compare; 1 for a model of one draw.
        sums: the statistics of every group of `GROUPS`.
        raters: the same with each rater in turn in the model's place and the others as raters, meaned; None with fewer
            than two raters.
        rater_counts: calibration sums against each rater alone, `probseg.evaluation.calibration.rater_counts`; empty
            where raters have no stable identity.
        scores: what ranks the case among others.
        promises: what promises for new patients are fitted on and measured by.
        warned: code and sentence of every fault that reading it showed.
    """

    case_id: str
    patient_id: str
    site: str
    num_raters: int
    num_readings: int
    sums: tuple[NDArray[np.float64], ...]
    raters: tuple[NDArray[np.float64], ...] | None
    rater_counts: Mapping[str, NDArray[np.float64]]
    scores: CaseScores
    promises: CasePromises
    warned: tuple[tuple[str, str], ...] = ()


def groups_of(labels: LabelSet) -> tuple[FigureGroup, ...]:
    """Every group for one label set."""
    return tuple(group(labels) for group in GROUPS)


def evaluate_case(case: EvaluatedCase, stable_raters: bool = True) -> CaseEvaluation:
    """Reduce a case to its statistics.

    Args:
        case: the case.
        stable_raters: whether a rater's name is the same person in every case; else nothing is kept by name.

    Raises:
        ProbsegError: E_NO_RATER where nobody rated any of it.
    """
    if not case.raters:
        raise ProbsegError("E_NO_RATER", f"nobody rated any of case '{case.case_id}'; leave it out with --split")
    groups = groups_of(case.labels)
    point = case.prediction.num_draws == 1
    return CaseEvaluation(
        case.case_id,
        case.patient_id,
        case.site,
        len(case.raters),
        1 if point else len(case.prediction.readings),
        tuple(group.statistics(case) for group in groups),
        held_out_statistics(case, groups),
        rater_counts(case) if stable_raters else {},
        case_scores(case),
        case_promises(case),
    )


def measure_cases(
    dataset: Dataset, predictions: Mapping[str, PredictedCase], jobs: int | None = 1
) -> Iterator[CaseEvaluation]:
    """Measure every case of a dataset that has a prediction, in order.

    Args:
        dataset: the cases; a repeated reading of a person is left out, so that nobody counts twice.
        predictions: of `probseg.io.predicted.open_predictions`.
        jobs: see `probseg.parallel.spread`.

    Raises:
        ProbsegError: whatever reading a case or a prediction raises.
    """
    items: Iterable[tuple[CaseRecord, PredictedCase]] = (
        (record, predictions[record.case_id]) for record in dataset.records if record.case_id in predictions
    )
    return spread(_Task(replace(dataset, records=())), items, jobs)


@dataclass(frozen=True)
class _Task:
    """Measures one case; goes to other processes."""

    dataset: Dataset

    def __call__(self, record: CaseRecord, predicted: PredictedCase) -> CaseEvaluation:
        info = self.dataset.info
        with gathered_warnings() as gathered:
            case, _ = separate_repeats(self.dataset.load(record), dict(info.repeats))
            prediction = read_distribution(predicted, case.geometry, info.labels)
            found = evaluate_case(EvaluatedCase.of(case, prediction, info.labels), info.stable_raters)
        return replace(found, warned=tuple((w.code, w.message) for w in gathered))
