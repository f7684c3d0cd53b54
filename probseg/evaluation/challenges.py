"""The table of a challenge from a folder of predictions: its own figures of each case, and their means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.bootstrap import bootstrap_mean
from probseg.analysis.challenges import (
    consensus_confidence,
    consensus_dice,
    consensus_dice_of_lines,
    gaussian_volume_crps,
    level_dice,
    rater_calibration_errors,
    trunk,
)
from probseg.analysis.known import mean_of_known
from probseg.analysis.repeats import separate_repeats
from probseg.analysis.tables import Table
from probseg.errors import ProbsegError, gathered_warnings
from probseg.evaluation.case import EvaluatedCase
from probseg.io.predicted import PredictedCase
from probseg.io.predicted_distribution import read_distribution
from probseg.parallel import spread
from probseg.records import CaseRecord, Dataset, DatasetInfo

__all__ = ["CHALLENGES", "CaseFigures", "Challenge", "Curvas", "Qubiq", "challenge_tables", "measure_challenge"]


class Named(NamedTuple):
    """What a figure is of; ``structure`` and ``rater`` are empty where it is of all of them, meaned."""

    metric: str
    structure: str = ""
    rater: str = ""


@dataclass(frozen=True)
class CaseFigures:
    """A challenge's figures of one case."""

    case_id: str
    patient_id: str
    site: str
    figures: Mapping[Named, float]


class Challenge(ABC):
    """What a challenge measures of one case."""

    @abstractmethod
    def check(self, info: DatasetInfo) -> None:
        """Refuse a dataset that the challenge's figures are not defined for, before anything is read."""

    @abstractmethod
    def figures(self, case: EvaluatedCase, image: NDArray) -> Mapping[Named, float]:
        """The figures of a case; NaN where one is undefined.

        Args:
            case: the case beside its prediction.
            image: ``space``, as stored.
        """


class Curvas(Challenge):
    """CURVAS, MICCAI 2024: see `probseg.analysis.challenges.curvas`.

    Of each organ ``consensus_dice`` by definition and ``consensus_dice_of_lines`` as released, ``confidence`` and
    ``volume_crps_ml``, and their means over organs; ``ece`` against each rater, and its mean over raters. Everything is
    cut to the rows and columns with voxels above 0 HU first.
    """

    def check(self, info: DatasetInfo) -> None:
        """E_NDIM for single images, E_NO_IMAGE without the CT."""
        if info.dimensions != 3:
            raise ProbsegError("E_NDIM", f"CURVAS measures volumes, but dataset '{info.name}' is of single images")
        if info.annotations_only:
            raise ProbsegError("E_NO_IMAGE", f"CURVAS looks at the CT, but dataset '{info.name}' has annotations only")

    def figures(self, case: EvaluatedCase, image: NDArray) -> Mapping[Named, float]:
        """Four figures an organ, one a rater, and means."""
        where = (..., *trunk(image))
        masks, rated, mode, mean = (
            x[where] for x in (case.masks, case.rated, case.prediction.mode, case.prediction.mean)
        )
        complete = rated.all(axis=(1, 2, 3))
        found: dict[Named, float] = {}
        for label, organ in enumerate(case.labels.names[1:], start=1):
            observed = np.where(complete, (masks == label).sum(axis=(1, 2, 3)) * case.voxel_ml, np.nan)
            predicted = float(mean[label].sum(dtype=np.float64)) * case.voxel_ml
            found |= {
                Named("consensus_dice", organ): consensus_dice(mode, masks, label, rated),
                Named("consensus_dice_of_lines", organ): consensus_dice_of_lines(mode, masks, label, rated),
                Named("confidence", organ): consensus_confidence(mean[label], masks, label, rated),
                Named("volume_crps_ml", organ): gaussian_volume_crps(predicted, observed),
            }
        errors = rater_calibration_errors(mean, masks, rated)
        found |= {Named("ece", "", rater): float(e) for rater, e in zip(case.raters, errors, strict=True)}
        return _with_means(found)


class Qubiq(Challenge):
    """QUBIQ, MICCAI 2020 and 2021: see `probseg.analysis.challenges.qubiq`.

    ``level_dice`` of each structure and their mean; ``level_dice_above`` is the same where a value that is the level
    does not belong to it, which the publication leaves open.
    """

    def check(self, info: DatasetInfo) -> None:
        """Every dataset will do."""

    def figures(self, case: EvaluatedCase, image: NDArray) -> Mapping[Named, float]:
        """Two figures a structure."""
        found: dict[Named, float] = {}
        for label, structure in enumerate(case.labels.names[1:], start=1):
            masks, probability = case.masks == label, case.prediction.mean[label]
            for name, at_least in (("level_dice", True), ("level_dice_above", False)):
                found[Named(name, structure)] = level_dice(probability, masks, case.rated, at_least)
        return _with_means(found)


CHALLENGES: Mapping[str, type[Challenge]] = {"curvas": Curvas, "qubiq": Qubiq}
"""By the names under which `probseg evaluate --challenge` knows them."""


def _with_means(found: Mapping[Named, float]) -> dict[Named, float]:
    """The same after the means over structures or raters of each metric, without those that are undefined."""
    metrics = dict.fromkeys(name.metric for name in found)
    means = {Named(m): mean_of_known([v for name, v in found.items() if name.metric == m]) for m in metrics}
    return means | dict(found)


def measure_challenge(
    dataset: Dataset, predictions: Mapping[str, PredictedCase], challenge: Challenge, jobs: int | None = 1
) -> Iterator[CaseFigures]:
    """The figures of every case of a dataset that has a prediction, in order.

    Args:
        dataset: the cases; a repeated reading of a person is left out.
        predictions: of `probseg.io.predicted.open_predictions`.
        challenge: what to measure.
        jobs: see `probseg.parallel.spread`.

    Raises:
        ProbsegError: of `Challenge.check`, and whatever reading a case or a prediction raises.
    """
    challenge.check(dataset.info)
    items: Iterable[tuple[CaseRecord, PredictedCase]] = (
        (record, predictions[record.case_id]) for record in dataset.records if record.case_id in predictions
    )
    return spread(_Task(replace(dataset, records=()), challenge), items, jobs)


@dataclass(frozen=True)
class _Task:
    """Measures one case; goes to other processes. What reading it warns of, the evaluation has told already."""

    dataset: Dataset
    challenge: Challenge

    def __call__(self, record: CaseRecord, predicted: PredictedCase) -> CaseFigures:
        info = self.dataset.info
        with gathered_warnings():
            case, _ = separate_repeats(self.dataset.load(record), dict(info.repeats))
            prediction = read_distribution(predicted, case.geometry, info.labels)
        figures = self.challenge.figures(EvaluatedCase.of(case, prediction, info.labels), case.image)
        return CaseFigures(case.case_id, case.patient_id, case.site, figures)


def challenge_tables(cases: Sequence[CaseFigures]) -> dict[str, Table]:
    """``challenge``: means over cases with their 95 % intervals over patients; ``challenge_cases``: every case.

    A row a figure; ``class`` and ``rater`` are empty where it is meaned over them. ``n`` counts the cases in which it
    is defined.
    """
    names = list(dict.fromkeys(name for case in cases for name in case.figures))
    patients = [case.patient_id for case in cases]
    means: list[tuple[object, ...]] = []
    for name in names:
        i = bootstrap_mean([case.figures.get(name, np.nan) for case in cases], patients)
        means.append((*name, i.value, i.low, i.high, i.n))
    each: list[tuple[object, ...]] = [
        (case.case_id, case.patient_id, case.site, *name, value)
        for case in cases
        for name, value in case.figures.items()
    ]
    of = ("metric", "class", "rater")
    return {
        "challenge": Table((*of, "value", "low", "high", "n"), means),
        "challenge_cases": Table(("case_id", "patient_id", "site", *of, "value"), each),
    }
