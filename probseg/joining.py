"""Several datasets as one, although their raters drew at different depths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case
from probseg.errors import ProbsegError, warn
from probseg.manifest import open_dataset
from probseg.records import CaseRecord, Dataset, DatasetInfo, check_case_id

__all__ = ["JoinedDataset", "Origin", "Part", "join", "open_datasets", "translated", "translation"]


@dataclass(frozen=True)
class Part:
    """One of the datasets that were joined.

    Attributes:
        dataset: as it was opened.
        table: ``(labels of its own,)`` the dense label of the joined label set for each of its own.
    """

    dataset: Dataset
    table: NDArray[np.uint8]


@dataclass(frozen=True)
class Origin:
    """Where a case of a joined dataset comes from: the number of its part, and its record there."""

    part: int
    record: CaseRecord

    def of(self, record: CaseRecord) -> CaseRecord:
        """The record in its own dataset, with the readings that are left in the joined one."""
        return replace(self.record, readings=record.readings)


@dataclass(frozen=True)
class JoinedDataset(Dataset):
    """A dataset whose cases come from several.

    Attributes:
        parts: these datasets.
        origins: case id here to where it comes from.
    """

    parts: tuple[Part, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)


def open_datasets(path: str | Path | Sequence[str | Path]) -> Dataset:
    """One dataset, or several as one; errors of `probseg.manifest.open_dataset` and of `join`."""
    if isinstance(path, str | Path):
        return open_dataset(path)
    if not path:
        raise ProbsegError("E_SCHEMA", "a list of datasets must name at least one")
    return join([open_dataset(p) for p in path]) if len(path) > 1 else open_dataset(path[0])


def join(datasets: Sequence[Dataset]) -> Dataset:
    """Several datasets as one whose label set is that of the first.

    The other datasets may be labelled less deeply: each of their labels must be, by its name, a leaf class of the first
    dataset, a group of it that has a value, or unknown (see `translation`); what values stand for them in files is each
    dataset's own affair. A model then learns from each mask what it says: `probseg.labels.LabelSet.admissible`.

    Cases and patients are called ``DATASET:NAME``, so that nobody is taken for somebody else, and a case without site
    gets its dataset's name as site. Where the raters of two datasets bear the same names it cannot be known whether
    they are the same persons, so that nothing is learnt of a single rater.

    Raises:
        ProbsegError: E_SCHEMA when two datasets have one name, or differ in dimensions, window or channels;
            E_CLASS_MISMATCH when a label has no counterpart in the first dataset.
    """
    first = datasets[0].info
    twice = [name for name, count in Counter(d.info.name for d in datasets).items() if count > 1]
    if twice:
        raise ProbsegError("E_SCHEMA", f"two of the joined datasets are called '{twice[0]}'; give each its own name")
    for other in (d.info for d in datasets[1:]):
        for what in ("dimensions", "window", "channels"):
            if getattr(first, what) != getattr(other, what):
                raise ProbsegError(
                    "E_SCHEMA",
                    f"the {what} of joined datasets must be equal, but '{first.name}' has {getattr(first, what)} and "
                    f"'{other.name}' {getattr(other, what)}",
                )
    parts = tuple(Part(d, translation(d.info, first)) for d in datasets)
    records, origins = [], {}
    for number, dataset in enumerate(datasets):
        name = dataset.info.name
        for record in dataset.records:
            case_id = check_case_id(f"{name}:{record.case_id}")
            origins[case_id] = Origin(number, record)
            patient_id = f"{name}:{record.patient_id}"
            records.append(replace(record, case_id=case_id, patient_id=patient_id, site=record.site or name))

    def load(record: CaseRecord) -> Case:
        origin = origins[record.case_id]
        part = parts[origin.part]
        return translated(part.dataset.load(origin.of(record)), record, part.table)

    return JoinedDataset(_joined_info(datasets), tuple(records), load, None, parts, origins)


def translated(case: Case, record: CaseRecord, table: NDArray[np.uint8]) -> Case:
    """A case under its name in the joined dataset, with the labels of the joined label set."""
    masks = {rater: table[mask] for rater, mask in case.masks.items()}
    return replace(case, case_id=record.case_id, patient_id=record.patient_id, site=record.site, masks=masks)


def translation(info: DatasetInfo, goal: DatasetInfo) -> NDArray[np.uint8]:
    """Dense labels of one dataset to those of another that mean the same, by name.

    Where a dataset does not label all classes of the other, its background may hold those, so that it becomes the group
    of background and these.

    Returns:
        ``(labels of the one,)``.

    Raises:
        ProbsegError: E_CLASS_MISMATCH when a label has no counterpart or means other classes there.
    """
    own, other = info.labels, goal.labels
    numbers = {name: k for k, name in enumerate(other.label_names)}
    table = np.zeros(len(own.label_names), dtype=np.uint8)
    for label, name in enumerate(own.label_names[1:], start=1):
        if name not in numbers:
            raise ProbsegError(
                "E_CLASS_MISMATCH",
                f"label '{name}' of dataset '{info.name}' is neither a class of '{goal.name}' nor a group of it with a "
                f"value; it has {', '.join(other.label_names)}",
            )
        table[label] = numbers[name]
    table[0] = _background(info, goal, other.admissible[table[1 : own.num_classes]])
    classes = other.admissible[table[: own.num_classes]]  # (classes of its own, classes of the other)
    for group in range(own.num_classes, len(table) - (own.unknown is not None)):
        if not np.array_equal(classes[own.admissible[group]].any(axis=0), other.admissible[table[group]]):
            raise ProbsegError(
                "E_CLASS_MISMATCH",
                f"'{own.label_names[group]}' of dataset '{info.name}' consists of other classes than in '{goal.name}'",
            )
    return table


def _background(info: DatasetInfo, goal: DatasetInfo, foreground: NDArray[np.bool_]) -> int:
    """The label that background is; ``foreground`` are the other's classes that each own foreground class admits."""
    labels = goal.labels
    if (foreground.sum(axis=0) > 1).any():
        raise ProbsegError(
            "E_CLASS_MISMATCH",
            f"classes of dataset '{info.name}' exclude each other there, but not by their meaning in '{goal.name}'",
        )
    left = ~foreground.any(axis=0)
    same = np.flatnonzero((labels.admissible == left).all(axis=1))
    if not len(same):
        names = [labels.names[k] for k in np.flatnonzero(left)]
        raise ProbsegError(
            "E_CLASS_MISMATCH",
            f"dataset '{info.name}' does not label {', '.join(names[1:])}, which its background may hold; give "
            f"'{goal.name}' a group with a value and the classes {', '.join(names)}, or declare them in "
            f"'{info.name}' if its raters looked for them",
        )
    return int(same[0])


def _joined_info(datasets: Sequence[Dataset]) -> DatasetInfo:
    infos = [d.info for d in datasets]
    stable = all(info.stable_raters for info in infos)
    shared = [rater for rater, count in Counter(r for d in datasets for r in d.raters).items() if count > 1]
    if stable and shared:
        warn(
            "W_RATER_NAME_COLLISION",
            f"a rater '{shared[0]}' is in more than one of the joined datasets; nothing is learnt of single raters "
            "unless their names tell them apart",
        )
        stable = False
    return replace(
        infos[0],
        name=" + ".join(info.name for info in infos),
        stable_raters=stable,
        note=" ".join(info.note for info in infos if info.note),
        annotations_only=any(info.annotations_only for info in infos),
        repeats=tuple(pair for info in infos for pair in info.repeats) if stable else (),
    )
