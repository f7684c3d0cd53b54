"""Reading parts of prepared cases."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.io.prepared import PreparedCase, Slab
from probseg.records import CaseRecord, Dataset
from probseg.store.freshness import case_path, holds, is_fresh, key_of, root_of
from probseg.store.preparing import Follow, prepare, store_folder

__all__ = ["Store", "prepared"]

_OPEN_AT_ONCE = 128  # each open case holds a file descriptor, of which a process has few


def prepared(
    dataset: Dataset, folder: Path | None = None, workers: int = 1, follow: Follow = lambda items, total: items
) -> Store:
    """The store of a dataset, made first where it is not there or stale; arguments and errors as of `prepare`."""
    try:
        return Store(dataset, folder)
    except ProbsegError as error:
        if error.code not in ("E_NO_STORE", "E_STALE_STORE"):
            raise
    prepare(dataset, folder, workers, follow)
    return Store(dataset, folder)


class Store:
    """A prepared dataset, of which slices and patches are read alone.

    Args:
        dataset: as `probseg.manifest.open_dataset` gives it.
        folder: of the store; None for the dataset's own.

    Attributes:
        dataset: the same, whose cases come from the store.

    Raises:
        ProbsegError: E_NO_STORE where there is none, E_STALE_STORE where the dataset has changed since.
    """

    def __init__(self, dataset: Dataset, folder: Path | None = None) -> None:
        self.folder = store_folder(dataset, folder)
        self._root = root_of(dataset)
        if not (self.folder / "cases").is_dir():
            raise ProbsegError("E_NO_STORE", f"there is no store at '{self.folder}'; `probseg prepare` makes it")
        for record in dataset.records:
            if not is_fresh(dataset, self.folder, record) and not holds(
                case_path(self.folder, record.case_id), key_of(dataset, record)
            ):
                raise ProbsegError(
                    "E_STALE_STORE",
                    f"case '{record.case_id}' has changed since '{self.folder}' was made, or is not in it; "
                    "run `probseg prepare` again",
                )
        self._opened: OrderedDict[str, PreparedCase] = OrderedDict()
        self.dataset = replace(dataset, loader=self.load)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_opened": OrderedDict()}

    def case(self, record: CaseRecord) -> PreparedCase:
        """The prepared case, open; the least used are closed."""
        found = self._opened.pop(record.case_id, None)
        if found is None:
            found = PreparedCase(case_path(self.folder, record.case_id))
            if len(self._opened) >= _OPEN_AT_ONCE:
                self._opened.popitem(last=False)
        self._opened[record.case_id] = found
        return found

    def load(self, record: CaseRecord) -> Case:
        """The whole case, as the dataset's own loader gives it."""
        raters = [x.rater for x in record.readings]
        return self.case(record).case(record.patient_id, record.site, raters, self._root / record.image)

    def read_slices(
        self,
        record: CaseRecord,
        start: int,
        stop: int,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
    ) -> Slab:
        """Slices ``start`` to ``stop`` (not included) with the masks of the record's raters, or a patch of them.

        Args:
            record: of the case; an image of two dimensions has one slice.
            start: first slice.
            stop: end.
            rows: first row and end; None for all.
            columns: first column and end; None for all.

        Raises:
            ProbsegError: E_SCHEMA where the part does not lie inside the case, E_UNKNOWN_RATER, E_STORE_DAMAGED.
        """
        return self.case(record).read(start, stop, rows, columns, [x.rater for x in record.readings])
