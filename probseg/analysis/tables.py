"""Columns and rows of plain values: what becomes a CSV file or a pandas frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from probseg.analysis.bootstrap import Interval

__all__ = ["Table", "ends", "interval_columns", "plain"]


class Table(NamedTuple):
    """Names of the columns, and the rows."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


def interval_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Four columns a figure: ``dice``, ``dice_low``, ``dice_high``, ``dice_n``."""
    return tuple(f"{name}{end}" for name in names for end in ("", "_low", "_high", "_n"))


def plain(value: Any) -> Any:
    """Dataclasses, named tuples, arrays and sequences as mappings and lists, NaN as None: what JSON can hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(v) for name, v in zip(value._fields, value, strict=True)}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and value != value else value


def ends(interval: Interval) -> tuple[float, float, float, int]:
    """The four cells of `interval_columns`."""
    return interval.value, interval.low, interval.high, interval.n
