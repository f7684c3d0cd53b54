"""Every case measured apart from all others: in this process or in many, and again only where something changed.

A case becomes its `CaseStatistics` wherever there is a free processor. With a folder to keep them in, each lies there
in a file of its own as soon as it is known, with a key of all that it was made from. A run that was stopped finds them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg import __version__
from probseg.analysis.agreement_settings import AgreementSettings
from probseg.analysis.case_agreement import CaseStatistics, case_statistics
from probseg.analysis.case_files import FORMAT, from_plain, to_plain
from probseg.analysis.repeats import separate_repeats
from probseg.case import Case
from probseg.errors import gathered_warnings
from probseg.io.atomic import write_text
from probseg.io.predicted import PredictedCase
from probseg.parallel import spread
from probseg.records import CaseRecord, Dataset, DatasetInfo, check_case_id
from probseg.store.freshness import key_of, stats

__all__ = ["Follow", "Measured", "Predicted", "case_file", "measure", "read_measured"]

Predicted = NDArray | PredictedCase
Follow = Callable[[Iterable["Measured"], int], Iterable["Measured"]]


@dataclass(frozen=True)
class Measured:
    """One case as it was measured.

    Attributes:
        statistics: what was found.
        warned: code and sentence of every fault that reading it showed.
        reused: whether an earlier run had measured it.
    """

    statistics: CaseStatistics
    warned: tuple[tuple[str, str], ...] = ()
    reused: bool = False


def case_file(folder: Path, case_id: str) -> Path:
    """Where a folder keeps what was measured of a case."""
    return folder / f"{check_case_id(case_id)}.json"


def read_measured(path: Path, key: str | None = None) -> Measured | None:
    """What lies in such a file; None where there is none, or one of another key, or one that is damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT or (key is not None and data["key"] != key):
            return None
        warned = tuple((str(code), str(message)) for code, message in data["warned"])
        return Measured(from_plain(data["statistics"]), warned, True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measure(
    cases: Iterable[Case],
    info: DatasetInfo,
    settings: AgreementSettings,
    predictions: Mapping[str, Predicted] | None = None,
    *,
    keep: Path | None = None,
    jobs: int | None = None,
    follow: Follow | None = None,
) -> Iterator[Measured]:
    """Measure cases, one after the other or side by side, and give them back in their order.

    Args:
        cases: a `Dataset`, whose cases are then read where they are measured, or any cases. A process holds one case at
            a time.
        info: label set of the masks.
        settings: region and tolerances.
        predictions: case id to ``space`` dense labels of a model, or to a `PredictedCase`, which is read where its case
            is. A dict is taken to hold them, and each is sent with its case; any other mapping to read them when asked,
            and goes to the processes itself.
        keep: folder for a file a case; None keeps nothing.
        jobs: processes, -1 for as many as there are cores. None is what an enclosing ``joblib.parallel_config`` says,
            and this process alone where nothing does; so any backend of joblib serves.
        follow: shows progress of so many cases, such as `probseg.progress.followed`.

    Raises:
        ProbsegError: E_ARGUMENT for no jobs, E_WORKER_DIED where a process did not survive, whatever reading a case
            raises. What was measured until then is kept.
    """
    items: Iterable[CaseRecord | Case] = cases
    total = len(cases) if isinstance(cases, Sized) else 0
    dataset = None
    if isinstance(cases, Dataset) and _lies_in_files(cases):
        dataset, items = replace(cases, records=()), cases.records  # of the others no process needs to know
    held = predictions if isinstance(predictions, dict) else {}
    kept = None if keep is None else keep.resolve()  # a process elsewhere may stand in another folder
    task = _Task(info, settings, kept, dataset, None if isinstance(predictions, dict) else predictions)
    pairs = ((item, held.get(item.case_id)) for item in items)
    done = spread(task, pairs, jobs)
    yield from done if follow is None else follow(done, total)


def _lies_in_files(dataset: Dataset) -> bool:
    """Whether each case is read alone. A stack is one file of many small cases: opened once, and they are sent."""
    return dataset.path is not None and bool(dataset.records) and bool(stats(dataset, dataset.records[0]))


@dataclass(frozen=True)
class _Task:
    """Measures one case; goes to other processes."""

    info: DatasetInfo
    settings: AgreementSettings
    keep: Path | None
    dataset: Dataset | None
    predictions: Mapping[str, Predicted] | None

    def __call__(self, item: CaseRecord | Case, prediction: Predicted | None) -> Measured:
        if self.predictions is not None:
            prediction = self.predictions.get(item.case_id)
        if self.keep is None:
            return self._measured(item, prediction)
        path, key = case_file(self.keep, item.case_id), self._key(item, prediction)
        found = read_measured(path, key)
        if found is None:
            found = self._measured(item, prediction)
            data = {"format": FORMAT, "key": key, "warned": found.warned, "statistics": to_plain(found.statistics)}
            write_text(path, json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")
        return found

    @property
    def _whole(self) -> Dataset:
        assert self.dataset is not None  # there is one where items are records
        return self.dataset

    def _measured(self, item: CaseRecord | Case, prediction: Predicted | None) -> Measured:
        with gathered_warnings() as gathered:
            case = item if isinstance(item, Case) else self._whole.load(item)
            found = self._statistics(case, prediction)
        return Measured(found, tuple((w.code, w.message) for w in gathered))

    def _statistics(self, case: Case, prediction: Predicted | None) -> CaseStatistics:
        """The case with one reading a person, and apart from it the readings of each who read it more than once."""
        labels, settings = self.info.labels, self.settings
        chosen: dict[str, Any] = {"region": settings.region, "tolerances_mm": settings.tolerances_mm}
        entropy = prediction.entropy_voxels if isinstance(prediction, PredictedCase) else math.nan
        array = prediction.read(case.geometry, labels) if isinstance(prediction, PredictedCase) else prediction
        once, several = separate_repeats(case, dict(self.info.repeats))
        repeats = tuple(case_statistics(readings, labels, **chosen) for readings in several.values())
        found = case_statistics(once, labels, array, **chosen)
        return replace(found, repeats=repeats, predicted_entropy_voxels=entropy)

    def _key(self, item: CaseRecord | Case, prediction: Predicted | None) -> str:
        """SHA-256 of all that the statistics are made from: masks, names, labels, settings, and this release."""
        chosen = [self.settings.region, list(self.settings.tolerances_mm)]
        names = [item.case_id, item.patient_id, item.site]
        digest = hashlib.sha256(json.dumps([FORMAT, __version__, self.info.to_dict(), chosen, names]).encode())
        if isinstance(item, CaseRecord):
            digest.update(key_of(self._whole, item).encode())
        else:
            for rater, mask in item.masks.items():
                digest.update(_digest(rater, mask, item.rated_by(rater)))
            digest.update(repr(item.geometry).encode())
        if isinstance(prediction, PredictedCase):
            digest.update(_digest("prediction", prediction.sha256, repr(prediction.entropy_voxels)))
        elif prediction is not None:
            digest.update(_digest("prediction", prediction))
        return digest.hexdigest()


def _digest(*parts: Any) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(f"{len(part)}:{part}".encode())
        else:
            digest.update(f"{part.shape}{part.dtype.str}".encode())
            digest.update(np.ascontiguousarray(part).data.cast("B"))
    return digest.digest()
