"""The header of a safetensors file, judged before anything is read by it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from probseg.errors import ProbsegError
from probseg.io.guard import file_size

__all__ = ["read_header"]

_MOST_HEADER = 100_000_000  # the format's own limit
_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2}
_BYTES |= {"I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors, every real one of which is finite.

    Raises:
        ProbsegError: the codes of `probseg.io.guard.file_size`, E_CORRUPT_CHECKPOINT, E_NONFINITE.
    """
    size = file_size(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MOST_HEADER):
            raise _corrupt(path, f"claims a header of {length} bytes but the file has {size}")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise _corrupt(path, "has a header that is no JSON") from error
    if not isinstance(header, dict):
        raise _corrupt(path, "has a header that is no table")
    header.pop("__metadata__", None)
    start, shapes = 8 + length, {}
    for name, entry in header.items():
        kind, shape, begin, end = _entry(entry, path)
        if end > size - start or end - begin != math.prod(shape) * _BYTES[kind]:
            raise _corrupt(path, "has a tensor that does not fit its place in the file")
        if not _finite(path, kind, start + begin, math.prod(shape)):
            raise ProbsegError("E_NONFINITE", f"the weight '{name[:80]}' of '{path}' is not finite")
        shapes[name] = shape
    return shapes


def _entry(entry: Any, path: Path) -> tuple[str, tuple[int, ...], int, int]:
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise _corrupt(path, "has a header that lacks type, shape or place of a tensor") from error
    whole = all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end))
    if not isinstance(kind, str) or kind not in _BYTES or not whole or begin > end:
        raise _corrupt(path, "has a header that gives a tensor no possible type, shape or place")
    return kind, shape, begin, end


def _finite(path: Path, kind: str, offset: int, count: int) -> bool:
    if count == 0 or kind not in (*_FLOATS, "BF16"):
        return True
    values = np.memmap(path, _FLOATS.get(kind, "<u2"), "r", offset, (count,))
    if kind == "BF16":  # the exponent has all bits set where it is no number
        return not bool(((values & 0x7F80) == 0x7F80).any())
    return bool(np.isfinite(values).all())


def _corrupt(path: Path, fault: str) -> ProbsegError:
    return ProbsegError("E_CORRUPT_CHECKPOINT", f"'{path}' {fault}; copy it again")
