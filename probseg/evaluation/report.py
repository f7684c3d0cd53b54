"""What an evaluation found: figures over cases with intervals over patients, for all cases and for every site."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.bootstrap import Interval
from probseg.analysis.tables import Table, plain
from probseg.analysis.volume_structures import VolumeStructures
from probseg.errors import ProbsegError
from probseg.evaluation.group import FigureGroup, FigureName, OfColumns
from probseg.evaluation.held_out import UNDEFINED_FOR_A_MASK
from probseg.evaluation.measure import CaseEvaluation, groups_of
from probseg.evaluation.promises import Patients, Promises, promised
from probseg.evaluation.ranking import Ranking, rank
from probseg.evaluation.settings import EvaluationSettings
from probseg.evaluation.tables import RATERS, Finding, case_table, parts_of, reliability_table, result_table
from probseg.family import family_name
from probseg.records import DatasetInfo

__all__ = ["RATERS", "EvaluationReport", "Finding", "gather"]


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Predictions of one model against the raters of a dataset.

    Attributes:
        info: the dataset.
        model: class path of the model that predicted, or any name.
        cases: what each case contributed, in order.
        settings: how it was measured.
        calibration: cases of the calibration split, on which promises are fitted; may be none.
    """

    info: DatasetInfo
    model: str
    cases: tuple[CaseEvaluation, ...]
    settings: EvaluationSettings
    calibration: tuple[CaseEvaluation, ...] = ()

    @cached_property
    def groups(self) -> tuple[FigureGroup, ...]:
        """The groups of figures, in the order of the statistics of every case."""
        return groups_of(self.info.labels)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The model, then the raters in its place; of all cases, then of every site where there are several."""
        families, parts = (self.family, RATERS), parts_of(self.cases)
        return tuple(finding for family in families for site in parts for finding in self._findings(family, site))

    @property
    def family(self) -> str:
        """The model's family, as tables name it."""
        return family_name(self.model)

    @cached_property
    def ranking(self) -> Ranking:
        """What scores of cases and maps of voxels are worth."""
        return rank(
            [case.scores for case in self.cases],
            [case.patient_id for case in self.cases],
            [case.site for case in self.cases],
            self.settings,
        )

    @cached_property
    def promises(self) -> Promises | None:
        """What is promised for new patients; None without cases of the calibration split."""
        if not self.calibration:
            return None
        names = VolumeStructures.of(self.info.labels).names
        fit, measured = (
            Patients([c.promises for c in part], [c.patient_id for c in part], [c.site for c in part])
            for part in (self.calibration, self.cases)
        )
        return promised(fit, measured, names, self.settings)

    def sentences(self) -> list[str]:
        """What the rankings and the promises say."""
        return [*self.ranking.sentences(), *([] if self.promises is None else self.promises.sentences())]

    def _findings(self, family: str, site: str) -> Iterable[Finding]:
        chosen = [c for c in self.cases if not site or c.site == site]
        if family == RATERS:
            chosen = [c for c in chosen if c.raters is not None]
        for name, (figure, sums) in self._figures(chosen, family).items():
            if family == RATERS and name.metric in UNDEFINED_FOR_A_MASK:
                yield Finding(family, name, site, Interval(math.nan, math.nan, math.nan, 0))
                continue
            patients = [c.patient_id for c in chosen]
            yield Finding(family, name, site, figure.over(sums, patients, self.settings.samples, self.settings.seed))

    def _figures(self, cases: Sequence[CaseEvaluation], family: str) -> dict[FigureName, tuple[OfColumns, NDArray]]:
        out: dict[FigureName, tuple[OfColumns, NDArray]] = {}
        for k, group in enumerate(self.groups):
            rows = [case.sums[k] if family != RATERS or case.raters is None else case.raters[k] for case in cases]
            sums = np.array(rows, dtype=np.float64).reshape(len(cases), len(self.cases[0].sums[k]))
            out |= {name: (figure, sums) for name, figure in group.figures.items()}
        return out

    def figure(self, metric: str, structure: str = "", family: str | None = None, site: str = "") -> Interval:
        """One figure by name; ``family`` None is the model's.

        Raises:
            ProbsegError: E_ARGUMENT where there is none.
        """
        wanted = (family or self.family, FigureName(metric, structure), site)
        for finding in self.findings:
            if (finding.family, finding.name, finding.site) == wanted:
                return finding.interval
        known = sorted({f.name.metric for f in self.findings})
        raise ProbsegError("E_ARGUMENT", f"there is no figure {wanted}; the figures are {', '.join(known)}")

    def tables(self) -> Mapping[str, Table]:
        """Every table by the name of its file."""
        return {
            "results": result_table(self.findings),
            "cases": case_table(self.cases, self.groups),
            "reliability": reliability_table(self.family, self.cases, self.groups, self.info.labels),
            **self.ranking.tables(),
            **({} if self.promises is None else self.promises.tables()),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain types, the layout of ``evaluation.json``; null where undefined."""
        return {
            "dataset": self.info.to_dict(),
            "family": self.family,
            "class_path": self.model,
            "cases": len(self.cases),
            "raters_max": max(c.num_raters for c in self.cases),
            "patients": len({c.patient_id for c in self.cases}),
            "readings": sorted({c.num_readings for c in self.cases}),
            "settings": {**plain(self.settings), "bootstrap_unit": "patient"},
            "figures": [f.to_dict() for f in self.findings],
            "ranking": {
                "scores": plain(self.ranking.failures),
                "expected_agreement": plain(self.ranking.agreement),
                "maps": [{"map": m, "figure": f, **plain(i)} for (m, f), i in self.ranking.voxels.items()],
                "split": plain(self.ranking.split),
            },
            "promises": None if self.promises is None else self.promises.to_dict(),
            "sentences": self.sentences(),
        }


def gather(
    info: DatasetInfo,
    model: str,
    cases: Iterable[CaseEvaluation],
    settings: EvaluationSettings | None = None,
    calibration: Iterable[CaseEvaluation] = (),
) -> EvaluationReport:
    """The report of measured cases.

    Args:
        info: the dataset.
        model: class path of the model that predicted, or any name.
        cases: as measured.
        settings: how figures are made of them; None for the defaults.
        calibration: cases of the calibration split, measured likewise, on which promises are fitted.

    Raises:
        ProbsegError: E_NO_CASES for none, E_PATIENT_LEAK where a patient is both measured and fitted on.
    """
    found, fitted = tuple(cases), tuple(calibration)
    if not found:
        raise ProbsegError("E_NO_CASES", f"no case of dataset '{info.name}' has a prediction; predict its test split")
    shared = sorted({c.patient_id for c in found} & {c.patient_id for c in fitted})
    if shared:
        raise ProbsegError(
            "E_PATIENT_LEAK",
            f"patient '{shared[0]}' has cases in the calibration split and among those measured; split by patient",
        )
    return EvaluationReport(info, model, found, settings or EvaluationSettings(), fitted)
