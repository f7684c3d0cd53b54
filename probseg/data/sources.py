"""Where whole examples and patches come from: cases kept in memory, or a prepared store read item by item."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from probseg.batch import NOBODY, Example
from probseg.case import Case, Geometry
from probseg.data.patches import Sought, Voxels, cut, drawn_voxels, pad_to, place_patch, random_patch
from probseg.data.stored_virtual import StoredVirtual
from probseg.data.virtual_raters import VirtualRater, fused
from probseg.io.prepared import Slab
from probseg.records import CaseRecord, Dataset, DatasetInfo
from probseg.store import Store

__all__ = ["Entry", "ExampleSource", "InMemory", "InStore"]


@dataclass(frozen=True)
class Entry:
    """What is known of an example without reading it.

    Attributes:
        case_id: of the case; with ``/`` and the slice's number where examples are slices.
        patient: number of the patient.
        site: where it comes from.
        raters: how many masks.
        shape: of the image, ``(channels, *space)``.
        rated_by: numbers of the raters who rated something of it, as in `probseg.batch.Example.rater`.
    """

    case_id: str
    patient: int
    site: str
    raters: int
    shape: tuple[int, ...]
    rated_by: tuple[int, ...] = ()


class ExampleSource(ABC):
    """A numbered list of examples.

    Attributes:
        entries: one an example.
    """

    entries: tuple[Entry, ...]
    _labels: tuple[Sought, ...]

    @abstractmethod
    def whole(self, index: int) -> Example:
        """One example with its whole image."""

    @abstractmethod
    def patch(self, index: int, crop: Sequence[int], foreground: float) -> Example:
        """A random patch of one example, as `probseg.data.patches.random_patch`."""


def _sought(info: DatasetInfo, by_class: bool) -> tuple[Sought, ...]:
    """The labels on which patches are placed: each that excludes background by itself, or all of them together."""
    labels = len(info.labels.admissible) - (info.labels.unknown is not None)
    drawn = tuple(k for k in range(1, labels) if not info.labels.admissible[k, 0])
    if by_class:
        return drawn
    return (None,) if len(drawn) == labels - 1 else (drawn,)  # a group may hold background and what was not labelled


def _numbered(info: DatasetInfo, raters: Iterable[str]) -> tuple[int, ...]:
    """The number of each rater; `NOBODY` for one whom the description does not list."""
    numbers = {name: k for k, name in enumerate(info.raters)}
    return tuple(numbers.get(info.person(name), NOBODY) for name in raters)


def _workloads(entries: Iterable[Entry]) -> Counter[int]:
    """How many masks of examples each rater rated something of; nothing of those who are not known."""
    counts = Counter(number for entry in entries for number in entry.rated_by)
    del counts[NOBODY]
    return counts


class InMemory(ExampleSource):
    """All examples, read at once; best for small images.

    Args:
        dataset: the cases.
        patients: name to number.
        slices: whether volumes are taken slice by slice; slices that nobody looked at are left out.
        virtual: virtual raters, whose masks are put behind those of the raters.
        by_class: patches on foreground are placed on every label that a case has equally often.
    """

    def __init__(
        self,
        dataset: Dataset,
        patients: dict[str, int],
        slices: bool,
        virtual: Sequence[VirtualRater] = (),
        by_class: bool = False,
    ) -> None:
        self._labels = _sought(dataset.info, by_class)
        examples: list[Example] = []
        for scan, record in enumerate(dataset.records):
            for example in _examples_of(dataset.load(record), dataset.info, slices, virtual):
                numbered = replace(example, index=len(examples), patient=patients[record.patient_id], scan=scan)
                examples.append(numbered)
        self.entries = tuple(
            Entry(e.case_id, e.patient, e.site, e.num_raters, tuple(e.image.shape), _rated_by(e)) for e in examples
        )
        counts = _workloads(self.entries)
        self._examples = [replace(e, workload=tuple(counts[number] for number in e.rater)) for e in examples]

    def whole(self, index: int) -> Example:
        """From memory."""
        return self._examples[index]

    def patch(self, index: int, crop: Sequence[int], foreground: float) -> Example:
        """Cut from the whole."""
        return random_patch(self._examples[index], crop, foreground, self._labels)


def _tensors(info: DatasetInfo, image: NDArray, masks: NDArray, rated: NDArray) -> tuple[Tensor, Tensor, Tensor]:
    """Image with a channel axis; ``rated`` is spread over the shape of the masks without a copy."""
    normalised = torch.from_numpy(info.normalise(image))
    labels = torch.from_numpy(masks)
    channels = normalised if normalised.ndim == labels.ndim else normalised.unsqueeze(0)
    return channels, labels, torch.from_numpy(rated).expand(labels.shape)


def _spacing(geometry: Geometry) -> Tensor:
    return torch.tensor(geometry.spacing or (float("nan"),) * geometry.dimensions)


def _rated_by(example: Example) -> tuple[int, ...]:
    return tuple(n for n, rated in zip(example.rater, example.rated, strict=False) if bool(rated.any()))


def _examples_of(case: Case, info: DatasetInfo, slices: bool, virtual: Sequence[VirtualRater]) -> list[Example]:
    drawn, looked = case.stacked()
    if virtual:
        made, known = fused(case, virtual, info.labels.num_classes)
        drawn, looked = np.concatenate([drawn, made]), np.concatenate([looked, known])
    image, masks, rated = _tensors(info, case.image, drawn, looked)
    spacing = _spacing(case.geometry)
    whole = Example(image, masks, rated, 0, 0, case.case_id, case.site, spacing, _numbered(info, case.masks))
    whole = replace(whole, virtual=tuple(v.name for v in virtual), voxel_ml=case.geometry.voxel_volume_ml)
    if not slices:
        return [whole]
    return [
        replace(
            whole,
            image=image[:, k],
            masks=masks[:, k],
            rated=rated[:, k],
            case_id=f"{case.case_id}/{k}",
            spacing_mm=spacing[1:],
        )
        for k in range(case.geometry.shape[0])
        if rated[:, k].any()
    ]


class InStore(ExampleSource):
    """Examples read one by one from a prepared store; only what is asked for is in memory.

    The same random numbers give the same examples as `InMemory`. It may go to other processes, which open the store's
    files anew.

    Args:
        store: of the whole dataset.
        dataset: the cases to take, and the raters that are known.
        patients: name to number.
        slices: whether volumes are taken slice by slice; slices that nobody looked at are left out.
        virtual: virtual raters, whose masks are put behind those of the raters.
        by_class: patches on foreground are placed on every label that a case has equally often.
    """

    def __init__(
        self,
        store: Store,
        dataset: Dataset,
        patients: dict[str, int],
        slices: bool,
        virtual: Sequence[VirtualRater] = (),
        by_class: bool = False,
    ) -> None:
        self._labels = _sought(dataset.info, by_class)
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._store = store
        self._info = dataset.info
        self._virtual = StoredVirtual(store, dataset.records, virtual) if virtual else None
        self._items: list[tuple[CaseRecord, int | None]] = []
        self._scans: list[int] = []
        entries = []
        for scan, record in enumerate(dataset.records):
            case = store.case(record)
            raters = [x.rater for x in record.readings]
            numbers = _numbered(dataset.info, raters)
            shape = (case.channels, *case.geometry.shape)
            looked = np.array([case.looked_by([name]) for name in raters])  # (raters, slices)
            for k in np.flatnonzero(looked.any(axis=0)).tolist() if slices else [None]:
                name = record.case_id if k is None else f"{record.case_id}/{k}"
                space = shape if k is None else (shape[0], *shape[2:])
                rated_by = tuple(
                    n for n, seen in zip(numbers, looked, strict=True) if (seen if k is None else seen[k]).any()
                )
                self._items.append((record, k))
                self._scans.append(scan)
                entries.append(Entry(name, patients[record.patient_id], record.site, len(raters), space, rated_by))
        self.entries = tuple(entries)
        self._workloads = _workloads(entries)

    def whole(self, index: int) -> Example:
        """One slice, or all slices of one case."""
        record, k = self._items[index]
        first, end = (0, self._store.case(record).slices) if k is None else (k, k + 1)
        return self._example(index, self._read(record, first, end))

    def _read(
        self,
        record: CaseRecord,
        first: int,
        end: int,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
    ) -> Slab:
        """A part of the case, with the masks of virtual raters behind those of the raters."""
        image, masks, rated = self._store.read_slices(record, first, end, rows, columns)
        if self._virtual is None:
            return Slab(image, masks, rated)
        drawn, known = self._virtual.read(record, first, end, rows, columns)
        looked = [np.broadcast_to(r, (len(r), *masks.shape[1:])) for r in (rated, known)]
        return Slab(image, np.concatenate([masks, drawn]), np.concatenate(looked))

    def _example(self, index: int, slab: Slab) -> Example:
        record, k = self._items[index]
        geometry = self._store.case(record).geometry
        image, masks, rated = slab
        if k is not None or geometry.dimensions == 2:  # the one slice has no axis
            image, masks, rated = image[..., 0, :, :], masks[:, 0], rated[:, 0]
        entry = self.entries[index]
        spacing = _spacing(geometry)
        spacing = spacing if k is None else spacing[1:]
        numbers = _numbered(self._info, (x.rater for x in record.readings))
        return Example(
            *_tensors(self._info, image, masks, rated),
            index,
            entry.patient,
            entry.case_id,
            entry.site,
            spacing,
            numbers,
            tuple(self._workloads[number] for number in numbers),
            () if self._virtual is None else self._virtual.names,
            self._scans[index],
            geometry.voxel_volume_ml,
        )

    def patch(self, index: int, crop: Sequence[int], foreground: float) -> Example:
        """Of a plane, cut from the whole of it; of a volume, only the patch is read."""
        record, k = self._items[index]
        case = self._store.case(record)
        if k is not None or case.geometry.dimensions == 2:
            return random_patch(self.whole(index), crop, foreground, self._labels)
        space = case.geometry.shape
        starts = place_patch(space, crop, foreground, lambda: self._drawn(record))
        ranges = [(s, min(s + c, n)) for s, c, n in zip(starts, crop, space, strict=True)]
        part = self._example(index, self._read(record, *ranges[0], ranges[1], ranges[2]))
        return cut(pad_to(part, crop), (0,) * len(crop), crop)

    def _drawn(self, record: CaseRecord) -> list[Voxels]:
        """The voxels of each label sought; how many of each the slices have is counted once a case."""
        case = self._store.case(record)
        if self._labels == (None,):
            return [_DrawnVoxels(self._store, record, None, case.drawn_by([x.rater for x in record.readings]))]
        if record.case_id not in self._counts:
            slices = [self._store.read_slices(record, k, k + 1) for k in range(case.slices)]
            self._counts[record.case_id] = np.array(
                [[drawn_voxels(masks, rated, label).sum() for _, masks, rated in slices] for label in self._labels]
            )
        each = zip(self._labels, self._counts[record.case_id], strict=True)
        return [_DrawnVoxels(self._store, record, label, counts) for label, counts in each]


class _DrawnVoxels(Voxels):
    """The voxels of a volume that some rater drew, of which only the slice of the one that is asked for is read."""

    def __init__(self, store: Store, record: CaseRecord, label: Sought, counts: ArrayLike) -> None:
        self._store = store
        self._record = record
        self._label = label
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, number: int) -> tuple[int, ...]:
        k = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[k - 1]) if k else 0
        _, masks, rated = self._store.read_slices(self._record, k, k + 1)
        drawn = drawn_voxels(masks, rated, self._label)[0]
        row, column = np.unravel_index(np.flatnonzero(drawn)[number - before], drawn.shape)
        return k, int(row), int(column)
