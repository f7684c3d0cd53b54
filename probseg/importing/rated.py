"""What a rater looked at, as ``cases.csv`` writes it: all, none, or ranges of slices."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry
from probseg.errors import ProbsegError

__all__ = ["as_text", "slices_as_text", "without"]

_RANGES = re.compile(r"\d+(-\d+)?(;\d+(-\d+)?)*")


def slices_as_text(slices: Iterable[int], count: int) -> str:
    """Slice numbers out of ``count`` as ``all``, ``none``, or ranges such as ``0-5;9``.

    Example:
        >>> slices_as_text([0, 1, 2, 7], 9), slices_as_text(range(9), 9), slices_as_text([], 9)
        ('0-2;7', 'all', 'none')
    """
    read = np.unique(np.fromiter(slices, dtype=np.int64))
    if len(read) == 0:
        return "none"
    if len(read) == count:
        return "all"
    runs = np.split(read, np.flatnonzero(np.diff(read) > 1) + 1)
    return ";".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def parse_slices(text: str, count: int, what: str) -> list[int]:
    """Slice numbers of ``all``, ``none`` or ranges such as ``0-5;9``; E_SCHEMA where one is not among ``count``."""
    if text in ("all", "none"):
        return list(range(count)) if text == "all" else []
    if not _RANGES.fullmatch(text):
        raise ProbsegError("E_SCHEMA", f"{what}: slices are written as all, none, or like 0-5;9")
    slices: list[int] = []
    for part in text.split(";"):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if low > high or high >= count:
            raise ProbsegError("E_SCHEMA", f"{what}: slices {part} must lie between 0 and {count - 1}")
        slices += range(low, high + 1)
    return slices


def without(rated: str, unread: str, geometry: Geometry, what: str) -> str:
    """The slices of ``rated`` that are not in ``unread``, as text."""
    count = geometry.shape[0] if geometry.dimensions == 3 else 1
    left = set(parse_slices(rated, count, what)) - set(parse_slices(unread, count, what))
    return slices_as_text(left, count)


def as_text(rated: str | NDArray[np.bool_], geometry: Geometry, what: str) -> str | NDArray[np.bool_]:
    """The text of ``cases.csv`` where whole slices say it all, else the booleans, of the image's shape."""
    count = geometry.shape[0] if geometry.dimensions == 3 else 1
    if isinstance(rated, str):
        return slices_as_text(parse_slices(rated, count, what), count)
    try:
        whole = np.broadcast_to(rated.astype(bool), geometry.shape)
    except ValueError as error:
        raise ProbsegError(
            "E_SHAPE_MISMATCH", f"what was rated in {what} has shape {rated.shape}, its image {geometry.shape}"
        ) from error
    flat = whole.reshape(count, -1)
    some, every = flat.any(axis=1), flat.all(axis=1)
    return slices_as_text(np.flatnonzero(some), count) if (some == every).all() else whole
