"""Tested runs as what is to be compared: trainings that differ by their seed alone are one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.adaptation import AdaptationNote
from probseg.analysis.paired import PairedDifference, holm, paired_difference
from probseg.analysis.tables import Table
from probseg.errors import ProbsegError
from probseg.io.strict_yaml import read_yaml
from probseg.report.results import CaseTable, RunResult, titles_of
from probseg.report.table import COLUMNS

__all__ = ["Comparison", "Contender", "compare_all", "comparison_table", "contenders_of", "seed_table"]

POOLED = ("ece", "mce", "ace")
"""Figures of all trials together; the mean of a figure of single cases is another number, so these are not paired."""

_OF_THE_RUN = ("seed_everything", "out", "overwrite", "ckpt_path", "wandb")


@dataclass(frozen=True, eq=False)
class Contender:
    """One model, trained once or with several seeds.

    Attributes:
        title: for people.
        runs: its trainings, tested on the same cases.
    """

    title: str
    runs: tuple[RunResult, ...]

    def values(self, metric: str, case_ids: Sequence[str]) -> NDArray[np.float64]:
        """``(seeds, cases)``: a figure of every case by each training; NaN where one has none."""
        return np.array([_of_cases(run.cases, metric, case_ids) for run in self.runs])


def _of_cases(cases: CaseTable | None, metric: str, case_ids: Sequence[str]) -> list[float]:
    if cases is None or metric not in cases.metrics:
        return [float("nan")] * len(case_ids)
    known = dict(zip(cases.case_ids, cases.metrics[metric].tolist(), strict=True))
    return [known.get(case_id, float("nan")) for case_id in case_ids]


def contenders_of(runs: Sequence[RunResult]) -> tuple[Contender, ...]:
    """The models among runs, without the raters; runs whose ``config.yaml`` differs by the seed alone are one model."""
    titles = titles_of(runs)
    groups: dict[str, list[RunResult]] = {}
    for run in runs:
        if not run.is_raters:
            groups.setdefault(_recipe(run), []).append(run)
    found = []
    for members in groups.values():
        seeds = {str(run.summary.get("seed")) for run in members}
        alone = len(members) == 1 or len(seeds) < len(members)
        parts = [[run] for run in members] if alone else [members]
        for part in parts:
            title = titles[str(part[0].folder)] if len(part) == 1 else f"{part[0].title}, {len(part)} seeds"
            found.append(Contender(title, tuple(part)))
    return tuple(found)


def _recipe(run: RunResult) -> str:
    """What a training was made of but for its seed; the folder itself where the run does not say."""
    path = run.folder / "config.yaml"
    if not path.is_file():
        return str(run.folder.resolve())
    settings = read_yaml(path, finite=False)
    adaptation = AdaptationNote.read(run.folder) or {}
    how = {name: adaptation.get(name) for name in ("method", "site", "splits", "run")}
    how["patients"] = len(adaptation.get("patients", ()))  # which ones is chosen by the seed
    return repr((run.family, run.draws, how, _without_places(settings)))


def _without_places(settings: Any) -> Any:
    """Settings without seed and folders of the run."""
    if not isinstance(settings, Mapping):
        return settings
    kept = {k: v for k, v in settings.items() if k not in _OF_THE_RUN}
    for part, name in (("checkpoint", "dirpath"), ("last", "dirpath"), ("trainer", "default_root_dir")):
        if isinstance(kept.get(part), Mapping):
            kept[part] = {k: v for k, v in kept[part].items() if k != name}
    return kept


@dataclass(frozen=True)
class Comparison:
    """Two models by one figure.

    Attributes:
        metric: name of the figure.
        first, second: titles.
        difference: first less second.
        corrected: p-value after Holm's correction for all comparisons by this figure.
    """

    metric: str
    first: str
    second: str
    difference: PairedDifference
    corrected: float


def compare_all(contenders: Sequence[Contender], baseline: Path | None = None) -> tuple[Comparison, ...]:
    """Every two models, or every model with one, on the cases that both have, by every figure that is a mean of cases.

    Args:
        contenders: the models.
        baseline: folder of a run of the model that the others are compared with; None for all pairs. Fewer comparisons
            leave more of each.

    Raises:
        ProbsegError: E_SCHEMA where the baseline is no run of theirs.
    """
    pairs = list(combinations(contenders, 2))
    if baseline is not None:
        chosen = [c for c in contenders if any(r.folder.resolve() == baseline.resolve() for r in c.runs)]
        if not chosen:
            raise ProbsegError("E_SCHEMA", f"the baseline '{baseline}' is none of the runs compared; give one of them")
        pairs = [(c, chosen[0]) for c in contenders if c is not chosen[0]]
    out: list[Comparison] = []
    for column in COLUMNS:
        if column.metric in POOLED or column.metric in ("ged_floor", "rater_diversity"):
            continue
        found = [(a, b, _difference(a, b, column.metric)) for a, b in pairs]
        found = [row for row in found if row[2].interval.n]
        corrected = holm([difference.p_value for _, _, difference in found])
        out += [
            Comparison(column.metric, a.title, b.title, difference, float(p))
            for (a, b, difference), p in zip(found, corrected, strict=True)
        ]
    return tuple(out)


def _difference(a: Contender, b: Contender, metric: str) -> PairedDifference:
    patients: dict[str, str] = {}
    for cases in (run.cases for run in (*a.runs, *b.runs)):
        patients |= {} if cases is None else dict(zip(cases.case_ids, cases.patient_ids, strict=True))
    ids = list(patients)
    return paired_difference(a.values(metric, ids), b.values(metric, ids), [patients[i] for i in ids])


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """``differences.csv``: a row a figure and pair."""
    columns = ("metric", "first", "second", "difference", "low", "high", "p_value", "p_holm", "n", "patients",
               "seeds_first", "seeds_second")  # fmt: skip
    rows: list[tuple[object, ...]] = []
    for c in comparisons:
        d = c.difference
        ends = (d.interval.value, d.interval.low, d.interval.high)
        rows.append((c.metric, c.first, c.second, *ends, d.p_value, c.corrected, d.interval.n, d.patients, *d.seeds))
    return Table(columns, rows)


def seed_table(contenders: Sequence[Contender]) -> Table:
    """``seeds.csv``: how far trainings of one model lie apart; a row a model of several seeds and figure."""
    rows: list[tuple[object, ...]] = []
    for contender in contenders:
        if len(contender.runs) < 2:
            continue
        for column in COLUMNS:
            values = np.array([run.figure(column.metric).value for run in contender.runs])
            if np.isfinite(values).all():
                spread = (values.mean(), values.std(ddof=1), values.min(), values.max())
                rows.append((contender.title, column.metric, len(values), *map(float, spread)))
    return Table(("model", "metric", "seeds", "mean", "standard_deviation", "least", "greatest"), rows)
