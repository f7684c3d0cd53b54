"""Converting the cases of a dataset, each once."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from probseg.errors import ProbsegError, ProbsegWarning, warn
from probseg.io.atomic import write_text
from probseg.io.prepared import PreparedCase, write_prepared
from probseg.parallel import spread
from probseg.records import CaseRecord, Dataset
from probseg.store.freshness import case_path, holds, is_fresh, key_of, root_of, settings, stamp_path, stats

__all__ = ["STORE", "Follow", "Preparation", "has_store", "prepare", "store_folder"]

STORE = ".store"
Follow = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True)
class Preparation:
    """What `prepare` did.

    Attributes:
        folder: of the store.
        made: ids of the cases that were converted.
        kept: ids of those that were fresh.
        removed: names of files of cases that the dataset no longer has.
        image_bytes, mask_bytes, raw_mask_bytes: size of the images, of the packed masks, and of the masks at one byte
            a voxel.
    """

    folder: Path
    made: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]
    image_bytes: int
    mask_bytes: int
    raw_mask_bytes: int


def has_store(dataset: Dataset) -> bool:
    """Whether a dataset is worth a store: a folder of files a case, not one file of single images."""
    return dataset.path is not None and (dataset.path / "cases.csv").is_file()


def store_folder(dataset: Dataset, folder: Path | None = None) -> Path:
    """Where the store of a dataset lies: ``folder``, or ``.store`` inside the dataset's own.

    Raises:
        ProbsegError: E_NO_STORE for a dataset that is one file of single images, which is in memory anyway.
    """
    if not has_store(dataset):
        raise ProbsegError(
            "E_NO_STORE",
            f"dataset '{dataset.info.name}' is not a folder with cases.csv; an NPZ stack is read into memory at once "
            "and needs no store",
        )
    return root_of(dataset) / STORE if folder is None else Path(folder)


def prepare(
    dataset: Dataset,
    folder: Path | None = None,
    workers: int = 1,
    follow: Follow = lambda items, total: items,
    check: bool = False,
) -> Preparation:
    """Convert every case that is not in the store or has changed since; a second run does nothing.

    Args:
        dataset: the whole of it, not a selection; what the store holds beyond it is removed.
        folder: of the store; None for the dataset's own.
        workers: processes.
        follow: wraps the finished cases as they come, to show progress.
        check: read all inputs and the whole store again instead of trusting times and sizes.

    Raises:
        ProbsegError: E_NO_STORE, E_NOT_WRITABLE, E_SCHEMA, and whatever reading a case raises; cases that are done
            stay done.
    """
    if workers < 1:
        raise ProbsegError("E_SCHEMA", f"workers must be at least 1, but is {workers}")
    folder = store_folder(dataset, folder)
    task = _Task(dataset, folder, check)
    made: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept = tuple(record.case_id for record in dataset.records)
    try:
        if check or _strays(folder, dataset) or not all(task.fresh(record) for record in dataset.records):
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                removed = _sweep(folder, dataset)
                made, kept = _convert(task, workers, follow)
    except OSError as error:
        raise ProbsegError(
            "E_NOT_WRITABLE",
            f"the store '{folder}' cannot be written: {error.strerror}; put it elsewhere with "
            "`probseg prepare --out` and --data.store",
        ) from error
    cases = [PreparedCase(case_path(folder, record.case_id)) for record in dataset.records]
    return Preparation(
        folder,
        made,
        kept,
        removed,
        sum(case.image_bytes for case in cases),
        sum(case.mask_bytes for case in cases),
        sum(len(case.raters) * case.voxels for case in cases),
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A lock that one process holds, and that dies with it."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        warn("W_STORE_BUSY", f"another process prepares '{folder}'; waiting until it has finished")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _strays(folder: Path, dataset: Dataset) -> list[Path]:
    """What a killed preparation left half written, and cases that the dataset no longer has."""
    wanted = {path(folder, r.case_id) for r in dataset.records for path in (case_path, stamp_path)}
    found = [p for part in ("cases", "stamps") if (folder / part).is_dir() for p in (folder / part).iterdir()]
    return sorted(path for path in found if path not in wanted)


def _sweep(folder: Path, dataset: Dataset) -> tuple[str, ...]:
    """Remove the strays; returns the ids of whole cases among them."""
    gone = _strays(folder, dataset)
    for path in gone:
        path.unlink(missing_ok=True)
    return tuple(path.stem for path in gone if path.suffix == ".case" and not path.name.startswith(".tmp"))


@dataclass(frozen=True)
class _Task:
    """Bring one case up to date; goes to other processes."""

    dataset: Dataset
    folder: Path
    check: bool

    def fresh(self, record: CaseRecord) -> bool:
        """Whether nothing needs to be read."""
        return not self.check and is_fresh(self.dataset, self.folder, record)

    def __call__(self, record: CaseRecord) -> tuple[str, bool, list[tuple[str, str]]]:
        """The case's id, whether it was made, and what reading it warned of."""
        if self.fresh(record):
            return record.case_id, False, []
        files = stats(self.dataset, record)
        key = key_of(self.dataset, record)
        path = case_path(self.folder, record.case_id)
        said: list[tuple[str, str]] = []
        made = not holds(path, key, self.check)
        if made:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                case = self.dataset.load(record)
            for entry in caught:
                if isinstance(entry.message, ProbsegWarning):
                    said.append((entry.message.code, entry.message.message))
                else:
                    warnings.warn_explicit(entry.message, entry.category, entry.filename, entry.lineno)
            write_prepared(path, case, key)
        stamp = {"key": key, "settings": settings(self.dataset, record), "files": files}
        text, target = json.dumps(stamp, indent=1) + "\n", stamp_path(self.folder, record.case_id)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            write_text(target, text)
        return record.case_id, made, said


def _convert(task: _Task, workers: int, follow: Follow) -> tuple[tuple[str, ...], tuple[str, ...]]:
    records = task.dataset.records
    done = spread(task, ((record,) for record in records), max(1, min(workers, len(records))))
    made: list[str] = []
    kept: list[str] = []
    for case_id, was_made, said in follow(done, len(records)):
        (made if was_made else kept).append(case_id)
        for code, message in said:
            warn(code, message)
    return tuple(made), tuple(kept)
