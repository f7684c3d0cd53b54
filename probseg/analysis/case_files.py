"""What was measured of one case as plain types, so that it can lie in a JSON file and come back the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from probseg.analysis.case_agreement import CaseStatistics, PairStatistics, PairTables
from probseg.analysis.patterns import PatternTable
from probseg.analysis.vote_tables import VoteTables

__all__ = ["FORMAT", "from_plain", "to_plain"]

FORMAT = 3
"""Rises whenever a figure is defined otherwise or a field is added, so that no older file passes for a newer one."""


def to_plain(case: CaseStatistics) -> dict[str, Any]:
    """Numbers, texts, lists and mappings; what is undefined is None. A float keeps every digit."""
    return {f.name: _plain(getattr(case, f.name)) for f in fields(case)}


def _plain(value: Any) -> Any:
    if isinstance(value, CaseStatistics):
        return to_plain(value)
    if is_dataclass(value):
        return [_plain(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def from_plain(data: Mapping[str, Any]) -> CaseStatistics:
    """The inverse of `to_plain`; raises KeyError, TypeError or ValueError for anything else."""
    case = dict(data)
    labels, voxels = case["patterns"]
    parties = len(case["raters"]) + bool(case["predicted"])
    columns = np.array(labels, dtype=np.intp).reshape(parties, len(voxels))
    case["patterns"] = PatternTable(columns, np.array(voxels, dtype=np.intp))
    union, agreed, region = (np.array(row, dtype=np.int64) for row in case["votes"][:3])
    case["votes"] = VoteTables(union, agreed, region, *(np.array(table, np.float64) for table in case["votes"][3:]))
    for name in ("pairs", "prediction_pairs"):
        case[name] = tuple(PairStatistics(*(_number(v) for v in row)) for row in case[name])
    for name in ("pair_tables", "prediction_tables"):
        case[name] = tuple(
            PairTables(a, b, *(np.array(table, dtype=np.int64) for table in tables)) for a, b, *tables in case[name]
        )
    case["sizes_voxels"] = {rater: tuple(_number(v) for v in row) for rater, row in case["sizes_voxels"].items()}
    for name in ("voxel_volume_ml", "predicted_entropy_voxels"):
        case[name] = _number(case[name])
    case["raters"] = tuple(case["raters"])
    for name in ("identical", "different"):
        case[name] = tuple((a, b) for a, b in case[name])
    case["repeats"] = tuple(from_plain(readings) for readings in case["repeats"])
    return CaseStatistics(**case)


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_number(v) for v in value)
    return math.nan if value is None else value
