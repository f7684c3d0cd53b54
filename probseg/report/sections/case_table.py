"""Every case with its figures, and which of them are worst: where raters differ most, and where a model errs most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probseg.analysis.case_agreement import PREDICTION
from probseg.report.inputs import Inputs
from probseg.report.results import CaseTable, RunResult
from probseg.report.stored_agreement import StoredAgreement
from probseg.report.table import Cell, number_cell

__all__ = ["CaseKey", "CaseRow", "CaseTableView", "case_table_view", "worst_first"]


@dataclass(frozen=True)
class CaseKey:
    """A case of a dataset; ``anchor`` is its identifier on the page."""

    dataset: str
    case_id: str
    place: int

    @property
    def anchor(self) -> str:
        """Of the row."""
        return f"row-{self.place}"


@dataclass(frozen=True)
class CaseRow:
    """One case: its names and its cells, in the order of the headings."""

    key: CaseKey
    site: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CaseTableView:
    """The table.

    Attributes:
        headings: of the cells: text, and what it is of.
        rows: a row a case.
        disagreement: by case, how far its raters overlap; small is worst.
        quality: by case, the model's overlap with the raters; small is worst.
    """

    headings: tuple[tuple[str, str], ...]
    rows: tuple[CaseRow, ...]
    disagreement: Mapping[CaseKey, float]
    quality: Mapping[CaseKey, float]

    @property
    def has_sites(self) -> bool:
        """Whether any case is known to come from a site."""
        return any(row.site for row in self.rows)

    @property
    def keys(self) -> tuple[CaseKey, ...]:
        """Of the rows."""
        return tuple(row.key for row in self.rows)


_MODEL = (("dice", "Dice of the mode"), ("ged_v", "GED (V)"), ("volume_error", "volume error"))


def case_table_view(inputs: Inputs, titles: Mapping[str, str]) -> CaseTableView:
    """Of all that was given, every case once."""
    runs = [(_dataset_of(r), r) for r in inputs.all_runs if r.cases is not None and not r.is_raters]
    names: dict[tuple[str, str], None] = {}
    for agreement in inputs.agreements:
        names |= dict.fromkeys((agreement.dataset, c) for c in _cases_of(agreement))
    for dataset, run in runs:
        names |= dict.fromkeys((dataset, c) for c in (run.cases.case_ids if run.cases else ()))
    for predictions in inputs.predictions:
        dataset = "" if predictions.dataset is None else predictions.dataset.info.name
        names |= dict.fromkeys((dataset, c) for c in predictions.case_ids)
    if not names:
        for given in inputs.datasets:
            names |= dict.fromkeys((given.info.name, r.case_id) for r in given.records)
    keys = [CaseKey(dataset, case_id, k) for k, (dataset, case_id) in enumerate(names)]
    return _table(inputs, keys, runs, titles)


def worst_first(view: CaseTableView) -> list[tuple[CaseKey, str]]:
    """Cases with why, taken in turn from where raters differ most and where the model errs most."""
    by_raters = sorted(view.disagreement, key=lambda key: (view.disagreement[key], key.place))
    by_model = sorted(view.quality, key=lambda key: (view.quality[key], key.place))
    found: dict[CaseKey, str] = {}
    for k in range(max(len(by_raters), len(by_model))):
        for keys, why in ((by_raters, "raters"), (by_model, "model")):
            if k < len(keys):
                found.setdefault(keys[k], why)
    for key in view.keys:
        found.setdefault(key, "")
    words = {
        "raters": lambda key: f"raters differ most here: mutual overlap {view.disagreement[key]:.2f}",
        "model": lambda key: f"the model errs most here: overlap with its raters {view.quality[key]:.2f}",
        "": lambda key: "",
    }
    return [(key, words[why](key)) for key, why in found.items()]


def _table(
    inputs: Inputs, keys: Sequence[CaseKey], runs: Sequence[tuple[str, RunResult]], titles: Mapping[str, str]
) -> CaseTableView:
    structures = {a.dataset: a.headline for a in inputs.agreements}
    dice = {a.dataset: _mean_dice(a) for a in inputs.agreements}
    columns: list[tuple[str, str, dict[CaseKey, float]]] = []
    if inputs.agreements:
        of = ", ".join(dict.fromkeys(structures.values()))
        columns.append(("raters' Dice", of, {k: dice.get(k.dataset, {}).get(k.case_id, math.nan) for k in keys}))
        for name, heading, unit in (
            ("rater_entropy", "raters' entropy", "nats, any class"),
            ("complete_agreement", "agreement", "share of voxels"),
        ):
            columns.append((heading, unit, _of_agreements(inputs.agreements, keys, name)))
    for dataset, run in runs:
        for metric, heading in _MODEL:
            if run.cases is not None and metric in run.cases.metrics:
                values = _column(run.cases, metric)
                found = {k: values.get(k.case_id, math.nan) if k.dataset == dataset else math.nan for k in keys}
                columns.append((heading, titles[str(run.folder)], found))
    sites = {(a.dataset, c): s for a in inputs.agreements for c, s in a.sites.items()}
    rows = tuple(
        CaseRow(k, sites.get((k.dataset, k.case_id), ""), tuple(number_cell(v[k]) for _, _, v in columns)) for k in keys
    )
    disagreement = _overlap_of_raters(keys, dice, runs)
    return CaseTableView(tuple((heading, of) for heading, of, _ in columns), rows, disagreement, _quality(keys, runs))


def _overlap_of_raters(
    keys: Sequence[CaseKey], dice: Mapping[str, Mapping[str, float]], runs: Sequence[tuple[str, RunResult]]
) -> dict[CaseKey, float]:
    """Dice of the raters of each case; of a dataset without a study of its raters, what an evaluation says of them."""
    known = {dataset: dict(values) for dataset, values in dice.items()}
    for dataset, run in runs:
        if dataset not in known and run.cases is not None and "rater_diversity" in run.cases.metrics:
            known[dataset] = {c: 1 - v for c, v in _column(run.cases, "rater_diversity").items()}
    found = {k: known.get(k.dataset, {}).get(k.case_id, math.nan) for k in keys}
    return {k: v for k, v in found.items() if not math.isnan(v)}


def _quality(keys: Sequence[CaseKey], runs: Sequence[tuple[str, RunResult]]) -> dict[CaseKey, float]:
    """Overlap of the first run that has any, of the structure of interest where that is known."""
    found: dict[CaseKey, float] = {}
    for dataset, run in runs:
        if run.cases is None:
            continue
        metric = next((m for m in ("opacity_iou", "dice") if m in run.cases.metrics), None)
        if metric is None:
            continue
        values = _column(run.cases, metric)
        for key in keys:
            if key.dataset == dataset and key not in found and not math.isnan(values.get(key.case_id, math.nan)):
                found[key] = values[key.case_id]
    return found


def _column(table: CaseTable, metric: str) -> dict[str, float]:
    return {c: float(v) for c, v in zip(table.case_ids, table.metrics[metric], strict=True)}


def _of_agreements(agreements: Sequence[StoredAgreement], keys: Sequence[CaseKey], metric: str) -> dict[CaseKey, float]:
    found: dict[tuple[str, str], float] = {}
    for agreement in agreements:
        table = agreement.cases
        if table is not None and metric in table.metrics:
            found |= {(agreement.dataset, c): v for c, v in _column(table, metric).items()}
    return {k: found.get((k.dataset, k.case_id), math.nan) for k in keys}


def _mean_dice(agreement: StoredAgreement) -> dict[str, float]:
    """Of the raters of each case in the structure of interest; where that is undefined in every case, of all."""
    by_case: dict[str, list[float]] = {}
    for pair in agreement.figures.pairs:
        own = PREDICTION not in (pair.rater_a, pair.rater_b) and pair.structure == agreement.headline
        if own and not math.isnan(pair.dice):
            by_case.setdefault(pair.case_id, []).append(pair.dice)
    return {case_id: float(np.mean(values)) for case_id, values in by_case.items()}


def _cases_of(agreement: StoredAgreement) -> tuple[str, ...]:
    if agreement.cases is not None:
        return agreement.cases.case_ids
    return tuple(dict.fromkeys(p.case_id for p in agreement.figures.pairs))


def _dataset_of(run: RunResult) -> str:
    about = run.summary.get("dataset")
    return str(about.get("name", "")) if isinstance(about, dict) else ""
