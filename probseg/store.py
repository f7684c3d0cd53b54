"""The prepared store: a dataset's cases converted once, so that any slice or patch is read without its scan.

``DATASET/.store/cases/CASE.case`` is one case (`probseg.io.prepared`), written whole or not at all, so that a
preparation that was stopped goes on where it was. Its key is the SHA-256 of what it was made from: the bytes of its
image, masks and rated masks, how ``cases.csv`` names them, the label values, and the release of probseg. Splits,
sites, patients and the window are not part of it; they are read from the dataset and may change.

``DATASET/.store/stamps/CASE.json`` only spares reading those bytes again: size and times of each file when the key was
made. Where they still hold the case is fresh; where they do not, the bytes decide.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from probseg import __version__
from probseg.case import Case
from probseg.errors import ProbsegError, ProbsegWarning, warn
from probseg.io.atomic import write_text
from probseg.io.prepared import FORMAT, PreparedCase, Slab, write_prepared
from probseg.records import CaseRecord, Dataset

__all__ = ["STORE", "Preparation", "Store", "has_store", "prepare", "prepared", "store_folder"]

STORE = ".store"
_OPEN_AT_ONCE = 128  # each open case holds a file descriptor, of which a process has few
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
    return _root(dataset) / STORE if folder is None else Path(folder)


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
    cases = [PreparedCase(_case_path(folder, record.case_id)) for record in dataset.records]
    return Preparation(
        folder,
        made,
        kept,
        removed,
        sum(case.image_bytes for case in cases),
        sum(case.mask_bytes for case in cases),
        sum(len(case.raters) * case.voxels for case in cases),
    )


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


def _case_path(folder: Path, case_id: str) -> Path:
    return folder / "cases" / f"{case_id}.case"


def _stamp_path(folder: Path, case_id: str) -> Path:
    return folder / "stamps" / f"{case_id}.json"


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
    wanted = {path(folder, r.case_id) for r in dataset.records for path in (_case_path, _stamp_path)}
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
        return not self.check and _fresh(self.dataset, self.folder, record)

    def __call__(self, record: CaseRecord) -> tuple[str, bool, list[tuple[str, str]]]:
        """The case's id, whether it was made, and what reading it warned of."""
        if self.fresh(record):
            return record.case_id, False, []
        files = _stats(self.dataset, record)
        key = _key(self.dataset, record)
        path = _case_path(self.folder, record.case_id)
        said: list[tuple[str, str]] = []
        made = not _holds(path, key, self.check)
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
        stamp = {"key": key, "settings": _settings(self.dataset, record), "files": files}
        text, target = json.dumps(stamp, indent=1) + "\n", _stamp_path(self.folder, record.case_id)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            write_text(target, text)
        return record.case_id, made, said


def _convert(task: _Task, workers: int, follow: Follow) -> tuple[tuple[str, ...], tuple[str, ...]]:
    records = task.dataset.records
    done: Iterator[tuple[str, bool, list[tuple[str, str]]]]
    if workers == 1 or len(records) == 1:
        done = (task(record) for record in records)
    else:
        from joblib import Parallel, delayed

        jobs = (delayed(task)(record) for record in records)
        done = Parallel(n_jobs=min(workers, len(records)), return_as="generator")(jobs)
    made: list[str] = []
    kept: list[str] = []
    for case_id, was_made, said in follow(done, len(records)):
        (made if was_made else kept).append(case_id)
        for code, message in said:
            warn(code, message)
    return tuple(made), tuple(kept)


def _input_files(root: Path, record: CaseRecord) -> list[Path]:
    """Every file that reading the case may open, sorted; a folder stands for all in it."""
    names = {record.image}
    for reading in record.readings:
        names |= {reading.mask, reading.rated}
    found: set[Path] = set()
    for name in names:
        path = root / name
        if path.is_dir():
            found |= {p for p in path.rglob("*") if p.is_file()}
        elif path.is_file():
            found.add(path)
            if path.suffix.lower() in (".nhdr", ".mhd", ".hdr"):  # the voxels lie in a file beside
                found |= {p for p in path.parent.glob(f"{path.stem}.*") if p.is_file()}
    return sorted(found)


def _root(dataset: Dataset) -> Path:
    assert dataset.path is not None  # has_store has looked
    return dataset.path


def _stats(dataset: Dataset, record: CaseRecord) -> list[list[Any]]:
    """Path, size, time of the content and time of the entry, which nothing sets back, of every input."""
    root = _root(dataset)
    files = [(path, path.stat()) for path in _input_files(root, record)]
    return [[p.relative_to(root).as_posix(), s.st_size, s.st_mtime_ns, s.st_ctime_ns] for p, s in files]


def _settings(dataset: Dataset, record: CaseRecord) -> list[Any]:
    readings = [[x.rater, x.mask, x.rated] for x in record.readings]
    labels = [int(v) for v in dataset.info.labels.values]
    return [FORMAT, __version__, record.case_id, record.image, readings, labels, dataset.info.dimensions]


def _key(dataset: Dataset, record: CaseRecord) -> str:
    digest = hashlib.sha256(json.dumps(_settings(dataset, record)).encode())
    root = _root(dataset)
    for path in _input_files(root, record):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(json.dumps([path.relative_to(root).as_posix(), content]).encode())
    return digest.hexdigest()


def _holds(path: Path, key: str, check: bool = False) -> bool:
    """Whether a whole case of this key lies at ``path``."""
    if not path.is_file():
        return False
    try:
        case = PreparedCase(path)
        if check:
            case.check()
    except ProbsegError:
        return False
    return case.key == key


def _fresh(dataset: Dataset, folder: Path, record: CaseRecord) -> bool:
    """Whether the stamp says that nothing has changed, without reading an input."""
    try:
        stamp = json.loads(_stamp_path(folder, record.case_id).read_text(encoding="utf-8"))
        same = stamp["files"] == _stats(dataset, record) and stamp["settings"] == _settings(dataset, record)
        return same and _holds(_case_path(folder, record.case_id), stamp["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


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
        self._root = _root(dataset)
        if not (self.folder / "cases").is_dir():
            raise ProbsegError("E_NO_STORE", f"there is no store at '{self.folder}'; `probseg prepare` makes it")
        for record in dataset.records:
            if not _fresh(dataset, self.folder, record) and not _holds(
                _case_path(self.folder, record.case_id), _key(dataset, record)
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
            found = PreparedCase(_case_path(self.folder, record.case_id))
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
