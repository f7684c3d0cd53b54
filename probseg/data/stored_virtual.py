"""The masks of virtual raters beside a prepared store, so that each case is fused once and any part read alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg import __version__
from probseg.case import Case
from probseg.data.virtual_raters import VirtualRater, fused
from probseg.io.prepared import PreparedCase, write_prepared
from probseg.progress import followed
from probseg.records import CaseRecord
from probseg.store import Store
from probseg.store.freshness import case_path, holds

__all__ = ["StoredVirtual"]

_OPEN_AT_ONCE = 64  # each open case holds a mapping of its file


class StoredVirtual:
    """The virtual raters of the cases of a store, made where they are not there yet and read part by part.

    They lie beside the prepared cases, in the same format, so that every process reads them and none computes them
    again.

    Args:
        store: of the dataset.
        records: the cases to make them for.
        virtual: at least one.
    """

    def __init__(self, store: Store, records: Sequence[CaseRecord], virtual: Sequence[VirtualRater]) -> None:
        self.names = tuple(v.name for v in virtual)
        self._classes = store.dataset.info.labels.num_classes
        what = json.dumps([v.settings for v in virtual], sort_keys=True, default=str)
        digest = hashlib.sha256(what.encode()).hexdigest()[:16]
        self._folder = store.folder / "virtual" / digest
        keys = {r.case_id: self._key(store, r, digest) for r in records}
        wanted = [r for r in records if not holds(case_path(self._folder, r.case_id), keys[r.case_id])]
        for record in followed(wanted, len(wanted), " and ".join(self.names)):
            self._make(store.load(record), virtual, keys[record.case_id])
        self._opened: dict[str, PreparedCase] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_opened": {}}

    def _key(self, store: Store, record: CaseRecord, digest: str) -> str:
        """Of what the result was made: the prepared case, whose raters count, what labels mean, and the settings."""
        raters = [x.rater for x in record.readings]
        made_of = [__version__, digest, store.case(record).key, raters, store.dataset.info.labels.to_dict()]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()

    def _make(self, case: Case, virtual: Sequence[VirtualRater], key: str) -> None:
        labels, known = fused(case, virtual, self._classes)
        nothing = np.zeros((0, *case.geometry.shape), np.uint8)  # the image lies in the case itself
        masks, rated = (dict(zip(self.names, values, strict=True)) for values in (labels, known))
        written = Case(case.case_id, case.patient_id, case.site, nothing, masks, case.geometry, rated)
        write_prepared(case_path(self._folder, case.case_id), written, key)

    def read(
        self, record: CaseRecord, start: int, stop: int, rows: tuple[int, int] | None, columns: tuple[int, int] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Masks and rated ``(virtual raters, slices, rows, columns)`` of a part; see `Store.read_slices`."""
        case = self._opened.pop(record.case_id, None) or PreparedCase(case_path(self._folder, record.case_id))
        if len(self._opened) >= _OPEN_AT_ONCE:
            del self._opened[next(iter(self._opened))]
        self._opened[record.case_id] = case
        _, masks, rated = case.read(start, stop, rows, columns, self.names)
        return masks, rated
