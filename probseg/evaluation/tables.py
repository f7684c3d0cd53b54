"""What an evaluation found as tables of plain values, one function a file of ``probseg evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.bootstrap import Interval
from probseg.analysis.calibration import reliability_curve
from probseg.analysis.tables import Table, plain
from probseg.evaluation.calibration import RaterCalibration
from probseg.evaluation.group import FigureGroup, FigureName
from probseg.evaluation.measure import CaseEvaluation
from probseg.labels import LabelSet

__all__ = ["RATERS", "Finding", "case_table", "parts_of", "reliability_table", "result_table"]

RATERS = "raters"
"""The family under which the raters themselves stand in tables."""


def parts_of(cases: Sequence[CaseEvaluation]) -> list[str]:
    """An empty name for all cases, then every named site where cases come from several."""
    sites = {case.site for case in cases}
    return ["", *(sorted(sites - {""}) if len(sites) > 1 else [])]


@dataclass(frozen=True)
class Finding:
    """One figure.

    Attributes:
        family: of the model, or `RATERS`.
        name: metric, and class or group.
        site: where its cases come from; empty for all of them.
        interval: value with its 95 % interval over patients; ``n`` counts the cases in which it is defined.
    """

    family: str
    name: FigureName
    site: str
    interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """Plain types, null where undefined."""
        names = {"family": self.family, "metric": self.name.metric, "class": self.name.structure, "site": self.site}
        return names | plain(self.interval)


def result_table(findings: Sequence[Finding]) -> Table:
    """``results.csv``: a row a figure."""
    rows: list[tuple[object, ...]] = []
    for f in findings:
        i = f.interval
        rows.append((f.family, f.name.metric, i.value, i.low, i.high, i.n, f.site, f.name.structure))
    return Table(("family", "metric", "value", "low", "high", "n", "site", "class"), rows)


def case_table(cases: Sequence[CaseEvaluation], groups: Sequence[FigureGroup]) -> Table:
    """``cases.csv``: a row a case, a column a figure of all classes together, and one a score that ranks cases."""
    columns, values = ["case_id", "patient_id", "site", "readings"], []
    for k, group in enumerate(groups):
        sums = np.array([case.sums[k] for case in cases])
        for name, figure in group.figures.items():
            if not name.structure:
                columns.append(name.metric)
                values.append(figure.per_case(sums))
    for score in dict.fromkeys(name for case in cases for name in case.scores.scores):
        columns.append(f"score_{score}")
        values.append(np.array([case.scores.scores.get(score, np.nan) for case in cases]))
    rows: list[tuple[object, ...]] = [
        (case.case_id, case.patient_id, case.site, case.num_readings, *(float(column[k]) for column in values))
        for k, case in enumerate(cases)
    ]
    return Table(tuple(columns), rows)


def reliability_table(
    family: str, cases: Sequence[CaseEvaluation], groups: Sequence[FigureGroup], labels: LabelSet
) -> Table:
    """``reliability.csv``: curves of the top class in the region and whole, by site and rater, then of every class.

    A row a bin; ``class`` is empty where the event is the most probable class, ``site`` and ``rater`` where it is of
    all of them.
    """
    place, group = next((k, g) for k, g in enumerate(groups) if isinstance(g, RaterCalibration))
    named: list[tuple[tuple[str, str, str, str], NDArray]] = []
    for site in parts_of(cases):
        curves = group.reliability(np.sum([c.sums[place] for c in cases if not site or c.site == site], axis=0))
        named += [(("region", site, "", ""), curves.region), (("image", site, "", ""), curves.image)]
        named += [(("region", site, "", n), own) for n, own in zip(labels.names, curves.classes, strict=True)]
    for rater in sorted({name for c in cases for name in c.rater_counts}):
        found = [c.rater_counts[rater] for c in cases if rater in c.rater_counts]
        named.append((("region", "", rater, ""), np.sum(found, axis=0)))
    rows: list[tuple[object, ...]] = []
    for names, counts in named:
        edges = np.linspace(0, 1, len(counts) + 1).tolist()
        for k, (confidence, frequency, count) in enumerate(zip(*reliability_curve(counts), strict=True)):
            rows.append((family, *names, k, edges[k], edges[k + 1], confidence, frequency, int(count)))
    columns = ("region", "site", "rater", "class", "bin", "low", "high", "confidence", "frequency", "count")
    return Table(("family", *columns), rows)
