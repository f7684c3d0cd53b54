"""The stores of joined datasets as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.io.prepared import PreparedCase, Slab
from probseg.joining import JoinedDataset, translated
from probseg.records import CaseRecord, Dataset
from probseg.store.preparing import Follow, has_store
from probseg.store.reading import Store, prepared

__all__ = ["JoinedStore", "store_of"]


def store_of(
    dataset: Dataset, folder: Path | None = None, workers: int = 1, follow: Follow = lambda items, total: items
) -> Store | None:
    """The store of a dataset, or of all that were joined in it, made where it is not there.

    Returns:
        None where the dataset, or one of those that were joined, is kept in memory.

    Raises:
        ProbsegError: those of `probseg.store.prepare`; E_SCHEMA for a folder that several datasets should share.
    """
    if not isinstance(dataset, JoinedDataset):
        return prepared(dataset, folder, workers, follow) if has_store(dataset) else None
    if folder is not None:
        raise ProbsegError("E_SCHEMA", "each of several datasets keeps its own store; leave data.store out")
    if not all(has_store(part.dataset) for part in dataset.parts):
        return None
    return JoinedStore(dataset, [prepared(part.dataset, None, workers, follow) for part in dataset.parts])


class JoinedStore(Store):
    """The stores of several datasets, read as that of the joined one.

    Args:
        dataset: the joined one.
        stores: those of its parts.

    Attributes:
        folder: the first store's, beside whose cases lies what is made of cases of all.
        dataset: the joined one, whose cases come from the stores.
    """

    def __init__(self, dataset: JoinedDataset, stores: Sequence[Store]) -> None:
        self._stores = tuple(stores)
        self._tables = tuple(part.table for part in dataset.parts)
        self._origins = dataset.origins
        self.folder = stores[0].folder
        self.dataset = replace(dataset, loader=self.load, parts=())  # parts are opened files, which no process inherits

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))

    def _of(self, record: CaseRecord) -> tuple[Store, NDArray[np.uint8], CaseRecord]:
        """The store of a case, what its labels are here, and its record there."""
        origin = self._origins[record.case_id]
        return self._stores[origin.part], self._tables[origin.part], origin.of(record)

    def case(self, record: CaseRecord) -> PreparedCase:
        """The prepared case, open, with the labels of its own dataset."""
        store, _, own = self._of(record)
        return store.case(own)

    def load(self, record: CaseRecord) -> Case:
        """The whole case, as the joined dataset gives it."""
        store, table, own = self._of(record)
        return translated(store.load(own), record, table)

    def read_slices(
        self,
        record: CaseRecord,
        start: int,
        stop: int,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
    ) -> Slab:
        """As `Store.read_slices`, with the labels of the joined dataset."""
        store, table, own = self._of(record)
        image, masks, rated = store.read_slices(own, start, stop, rows, columns)
        return Slab(image, table[masks], rated)
