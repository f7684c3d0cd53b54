"""Where whole examples and patches come from: cases kept in memory, or a prepared store read item by item."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probseg.batch import Example
from probseg.case import Case, Geometry
from probseg.data.patches import Voxels, cut, pad_to, place_patch, random_patch
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
    """

    case_id: str
    patient: int
    site: str
    raters: int
    shape: tuple[int, ...]


class ExampleSource(ABC):
    """A numbered list of examples.

    Attributes:
        entries: one an example.
    """

    entries: tuple[Entry, ...]

    @abstractmethod
    def whole(self, index: int) -> Example:
        """One example with its whole image."""

    @abstractmethod
    def patch(self, index: int, crop: Sequence[int], foreground: float) -> Example:
        """A random patch of one example, as `probseg.data.patches.random_patch`."""


class InMemory(ExampleSource):
    """All examples, read at once; best for small images.

    Args:
        dataset: the cases.
        patients: name to number.
        slices: whether volumes are taken slice by slice; slices that nobody looked at are left out.
    """

    def __init__(self, dataset: Dataset, patients: dict[str, int], slices: bool) -> None:
        self._examples: list[Example] = []
        for record in dataset.records:
            for example in _examples_of(dataset.load(record), dataset.info, slices):
                self._examples.append(replace(example, index=len(self._examples), patient=patients[record.patient_id]))
        self.entries = tuple(
            Entry(e.case_id, e.patient, e.site, len(e.masks), tuple(e.image.shape)) for e in self._examples
        )

    def whole(self, index: int) -> Example:
        """From memory."""
        return self._examples[index]

    def patch(self, index: int, crop: Sequence[int], foreground: float) -> Example:
        """Cut from the whole."""
        return random_patch(self._examples[index], crop, foreground)


def _tensors(info: DatasetInfo, image: NDArray, masks: NDArray, rated: NDArray) -> tuple[Tensor, Tensor, Tensor]:
    """Image with a channel axis; ``rated`` is spread over the shape of the masks without a copy."""
    normalised = torch.from_numpy(info.normalise(image))
    labels = torch.from_numpy(masks)
    channels = normalised if normalised.ndim == labels.ndim else normalised.unsqueeze(0)
    return channels, labels, torch.from_numpy(rated).expand(labels.shape)


def _spacing(geometry: Geometry) -> Tensor:
    return torch.tensor(geometry.spacing or (float("nan"),) * geometry.dimensions)


def _examples_of(case: Case, info: DatasetInfo, slices: bool) -> list[Example]:
    image, masks, rated = _tensors(info, case.image, *case.stacked())
    spacing = _spacing(case.geometry)
    if not slices:
        return [Example(image, masks, rated, 0, 0, case.case_id, case.site, spacing)]
    return [
        Example(image[:, k], masks[:, k], rated[:, k], 0, 0, f"{case.case_id}/{k}", case.site, spacing[1:])
        for k in range(case.geometry.shape[0])
        if rated[:, k].any()
    ]


class InStore(ExampleSource):
    """Examples read one by one from a prepared store; only what is asked for is in memory.

    The same random numbers give the same examples as `InMemory`. It may go to other processes, which open the store's
    files anew.

    Args:
        store: of the whole dataset.
        records: the cases to take.
        patients: name to number.
        slices: whether volumes are taken slice by slice; slices that nobody looked at are left out.
    """

    def __init__(self, store: Store, records: Sequence[CaseRecord], patients: dict[str, int], slices: bool) -> None:
        self._store = store
        self._items: list[tuple[CaseRecord, int | None]] = []
        entries = []
        for record in records:
            case = store.case(record)
            raters = [x.rater for x in record.readings]
            shape = (case.channels, *case.geometry.shape)
            looked = case.looked_by(raters) if slices else ()
            for k in [k for k, seen in enumerate(looked) if seen] if slices else [None]:
                name = record.case_id if k is None else f"{record.case_id}/{k}"
                space = shape if k is None else (shape[0], *shape[2:])
                self._items.append((record, k))
                entries.append(Entry(name, patients[record.patient_id], record.site, len(raters), space))
        self.entries = tuple(entries)

    def whole(self, index: int) -> Example:
        """One slice, or all slices of one case."""
        record, k = self._items[index]
        first, end = (0, self._store.case(record).slices) if k is None else (k, k + 1)
        return self._example(index, self._store.read_slices(record, first, end))

    def _example(self, index: int, slab: Slab) -> Example:
        record, k = self._items[index]
        geometry = self._store.case(record).geometry
        image, masks, rated = slab
        if k is not None or geometry.dimensions == 2:  # the one slice has no axis
            image, masks, rated = image[..., 0, :, :], masks[:, 0], rated[:, 0]
        entry = self.entries[index]
        spacing = _spacing(geometry)
        spacing = spacing if k is None else spacing[1:]
        tensors = _tensors(self._store.dataset.info, image, masks, rated)
        return Example(*tensors, index, entry.patient, entry.case_id, entry.site, spacing)

    def patch(self, index: int, crop: Sequence[int], foreground: float) -> Example:
        """Of a plane, cut from the whole of it; of a volume, only the patch is read."""
        record, k = self._items[index]
        case = self._store.case(record)
        if k is not None or case.geometry.dimensions == 2:
            return random_patch(self.whole(index), crop, foreground)
        space = case.geometry.shape
        starts = place_patch(space, crop, foreground, lambda: _DrawnVoxels(self._store, record))
        ranges = [(s, min(s + c, n)) for s, c, n in zip(starts, crop, space, strict=True)]
        part = self._example(index, self._store.read_slices(record, *ranges[0], ranges[1], ranges[2]))
        return cut(pad_to(part, crop), (0,) * len(crop), crop)


class _DrawnVoxels(Voxels):
    """The voxels of a volume that some rater drew, of which only the slice of the one that is asked for is read."""

    def __init__(self, store: Store, record: CaseRecord) -> None:
        self._store = store
        self._record = record
        counts = store.case(record).drawn_by([x.rater for x in record.readings])
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, number: int) -> tuple[int, ...]:
        k = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[k - 1]) if k else 0
        _, masks, rated = self._store.read_slices(self._record, k, k + 1)
        drawn = np.logical_or.reduce((masks > 0) & rated, axis=0)[0]
        row, column = np.unravel_index(np.flatnonzero(drawn)[number - before], drawn.shape)
        return k, int(row), int(column)
