"""Datasets, raters, and which readings are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from probseg.analysis.case_agreement import PREDICTION
from probseg.records import Dataset
from probseg.report.inputs import Inputs
from probseg.report.stored_agreement import StoredAgreement

__all__ = ["DatasetView", "RaterRow", "dataset_views"]


@dataclass(frozen=True)
class RaterRow:
    """One rater's readings: cases read whole, in part, and not at all; None where that is not known here."""

    rater: str
    read: int
    part: int | None
    missing: int


@dataclass(frozen=True)
class DatasetView:
    """One dataset: its name, what it says of itself, facts in words, and a row a rater.

    ``counts`` says how many cases have how many readings.
    """

    name: str
    note: str
    facts: tuple[tuple[str, str], ...]
    raters: tuple[RaterRow, ...]
    counts: tuple[tuple[int, int], ...]
    remarks: tuple[str, ...]


def dataset_views(inputs: Inputs) -> list[DatasetView]:
    """Every dataset that is named anywhere, once, with the most that is known of it."""
    found: dict[str, DatasetView] = {}
    for dataset in inputs.datasets:
        found[dataset.info.name] = _of_dataset(dataset)
    for agreement in inputs.agreements:
        found.setdefault(agreement.dataset, _of_agreement(agreement))
    for run in inputs.all_runs:
        about = run.summary.get("dataset")
        if isinstance(about, dict):
            name, note = str(about.get("name", "")), str(about.get("note", ""))
            found.setdefault(name, DatasetView(name, note, tuple(_run_facts(run.summary)), (), (), ()))
    return list(found.values())


def _of_dataset(dataset: Dataset) -> DatasetView:
    info, records = dataset.info, dataset.records
    rows = []
    for rater in sorted(dataset.raters) if info.stable_raters else ():
        readings = [x for r in records for x in r.readings if x.rater == rater]
        part = sum(x.rated != "all" for x in readings)
        rows.append(RaterRow(rater, len(readings) - part, part, len(records) - len(readings)))
    counts: dict[int, int] = {}
    for record in records:
        counts[len(record.readings)] = counts.get(len(record.readings), 0) + 1
    facts = [
        ("cases", str(len(records))),
        ("patients", str(len(dataset.patients))),
        ("sites", ", ".join(s for s in dataset.sites if s) or "not said"),
        ("classes", ", ".join(info.labels.names[1:])),
        ("groups", ", ".join(g.name for g in info.labels.groups) or "none"),
    ]
    remarks = [] if info.stable_raters else ["Raters are positions within a case, not persons."]
    remarks += ["It holds annotations without images."] if info.annotations_only else []
    return DatasetView(info.name, info.note, tuple(facts), tuple(rows), tuple(sorted(counts.items())), tuple(remarks))


def _of_agreement(stored: StoredAgreement) -> DatasetView:
    data, figures = stored.data, stored.figures
    facts = [("cases", str(data["cases"])), ("patients", str(data["patients"]))]
    present: dict[str, set[str]] = {}
    for pair in figures.pairs:
        for rater in {pair.rater_a, pair.rater_b} - {PREDICTION}:
            present.setdefault(rater, set()).add(pair.case_id)
    rows = tuple(
        RaterRow(rater, len(cases), None, int(data["cases"]) - len(cases))
        for rater, cases in sorted(present.items())
        if not figures.refused
    )
    return DatasetView(stored.dataset, str(data.get("note", "")), tuple(facts), rows, (), tuple(_remarks(stored)))


def _remarks(stored: StoredAgreement) -> Iterator[str]:
    data = stored.data
    single = data.get("single_rater_cases") or []
    if single:
        yield f"{len(single)} cases have fewer than two raters and say nothing of agreement."
    for first, second in data.get("identical_raters") or []:
        yield f"{first} and {second} have the same masks in every case that both read."
    if data.get("undecided_voxels"):
        yield f"At {data['undecided_voxels']} voxels the vote is a tie; it goes to the lower class."
    if stored.figures.refused:
        yield stored.figures.refused


def _run_facts(summary: object) -> Iterator[tuple[str, str]]:
    if isinstance(summary, dict):
        for label, key in (("test cases", "cases"), ("patients", "patients"), ("raters a case, at most", "raters_max")):
            if summary.get(key) is not None:
                yield label, str(summary[key])
