"""What a prepared case was made from, and whether that is still so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from probseg import __version__
from probseg.errors import ProbsegError
from probseg.io.prepared import FORMAT, PreparedCase
from probseg.records import CaseRecord, Dataset

__all__ = ["case_path", "holds", "is_fresh", "key_of", "root_of", "settings", "stamp_path", "stats"]


def case_path(folder: Path, case_id: str) -> Path:
    """Where a store keeps a case."""
    return folder / "cases" / f"{case_id}.case"


def stamp_path(folder: Path, case_id: str) -> Path:
    """Where a store keeps what it saw of the files of a case."""
    return folder / "stamps" / f"{case_id}.json"


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


def root_of(dataset: Dataset) -> Path:
    """The folder of a dataset that has one."""
    assert dataset.path is not None  # has_store has looked
    return dataset.path


def stats(dataset: Dataset, record: CaseRecord) -> list[list[Any]]:
    """Path, size, time of the content and time of the entry, which nothing sets back, of every input."""
    root = root_of(dataset)
    files = [(path, path.stat()) for path in _input_files(root, record)]
    return [[p.relative_to(root).as_posix(), s.st_size, s.st_mtime_ns, s.st_ctime_ns] for p, s in files]


def settings(dataset: Dataset, record: CaseRecord) -> list[Any]:
    """What decides the content of a prepared case apart from the bytes of its files."""
    readings = [[x.rater, x.mask, x.rated] for x in record.readings]
    labels = [int(v) for v in dataset.info.labels.values]
    return [FORMAT, __version__, record.case_id, record.image, readings, labels, dataset.info.dimensions]


def key_of(dataset: Dataset, record: CaseRecord) -> str:
    """SHA-256 of the settings and of every file that reading the case may open."""
    digest = hashlib.sha256(json.dumps(settings(dataset, record)).encode())
    root = root_of(dataset)
    for path in _input_files(root, record):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(json.dumps([path.relative_to(root).as_posix(), content]).encode())
    return digest.hexdigest()


def holds(path: Path, key: str, check: bool = False) -> bool:
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


def is_fresh(dataset: Dataset, folder: Path, record: CaseRecord) -> bool:
    """Whether the stamp says that nothing has changed, without reading an input."""
    try:
        stamp = json.loads(stamp_path(folder, record.case_id).read_text(encoding="utf-8"))
        same = stamp["files"] == stats(dataset, record) and stamp["settings"] == settings(dataset, record)
        return same and holds(case_path(folder, record.case_id), stamp["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
