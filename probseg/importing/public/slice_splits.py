"""A JSON that puts the slices of a stack into train, validation and test, read as tolerantly as can be done safely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probseg.errors import ProbsegError
from probseg.importing.regions import load_json
from probseg.records import SPLITS

__all__ = ["read_slice_splits"]

_NAMES = {
    "training": "train",
    "tr": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "cal": "calibration",
    "testing": "test",
    "ts": "test",
    **{name: name for name in SPLITS},
}


def read_slice_splits(path: Path, count: int) -> list[str]:
    """The split of each of ``count`` slices; empty for slices that the file does not name.

    Understood are split to slices, ``{"train": [0, 4], "val": [1], "test": [2]}``, and slice to split,
    ``{"0": "train", "1": "val"}``; both may lie under one key such as ``splits``. Slices count from 0, and may be
    written as text. A part ``all`` is passed over.

    Raises:
        ProbsegError: E_PARSE where it is no JSON, E_SCHEMA where it is neither of these or a slice is not among them,
            E_SPLIT_LEAK where a slice has two splits.
    """
    data = _inner(load_json(path))
    pairs = list(_pairs(data, path))
    if not pairs:
        raise _refusal(path, "names no slice")
    slices = [k for k, _ in pairs]
    outside = [k for k in slices if not 0 <= k < count]
    if outside:
        raise _refusal(path, f"names the slice {outside[0]}, but slices count from 0 to {count - 1}")
    twice = [k for k, n in Counter(slices).items() if n > 1]
    if twice:
        raise ProbsegError("E_SPLIT_LEAK", f"'{path}' names the slice {twice[0]} twice; a slice has one split")
    splits = [""] * count
    for k, split in pairs:
        splits[k] = split
    return splits


def _inner(data: Any) -> Any:
    """What lies under the only key, where that key is no split and what lies there is a mapping."""
    if isinstance(data, Mapping) and len(data) == 1:
        ((key, inside),) = data.items()
        if isinstance(inside, Mapping) and _split(key) is None:
            return inside
    return data


def _pairs(data: Any, path: Path) -> list[tuple[int, str]]:
    if not isinstance(data, Mapping):
        raise _refusal(path, "is no mapping")
    found = []
    for key, value in data.items():
        split = _split(key)
        if key == "all":
            continue
        if split is not None and isinstance(value, list):
            found += [(_slice(k, path), split) for k in value]
        elif split is None and isinstance(value, str) and _split(value) is not None:
            found.append((_slice(key, path), _split(value) or ""))
        else:
            raise _refusal(path, f"has the part '{key[:40]}', which is not understood")
    return found


def _split(name: str) -> str | None:
    return _NAMES.get(name.strip().lower())


def _slice(number: Any, path: Path) -> int:
    if isinstance(number, str) and number.strip().isdigit():
        return int(number)
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    raise _refusal(path, f"names the slice {str(number)[:40]!r}, which is no whole number")


def _refusal(path: Path, fault: str) -> ProbsegError:
    return ProbsegError(
        "E_SCHEMA",
        f'\'{path}\' {fault}; it must be like {{"train": [0, 4], "val": [1], "test": [2]}}, or leave it out with '
        "--no-splits",
    )
