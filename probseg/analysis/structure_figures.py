"""Pairs of masks compared in every class and group, over cases, and the kinds of their disagreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import Interval
from probseg.analysis.case_agreement import PairStatistics, PairTables
from probseg.analysis.over_cases import Over

__all__ = ["KindFigures", "StructureFigures", "kind_figures", "structure_figures"]


@dataclass(frozen=True)
class KindFigures:
    """What kind of disagreement, over all cases and pairs; see `probseg.analysis.disagreement`.

    Attributes:
        class_voxels, presence_voxels, extent_voxels: voxels that differ; they sum to all of these.
        class_share, presence_share, extent_share: shares of their sum, a ratio of sums over cases; n cases that differ.
    """

    class_voxels: int
    presence_voxels: int
    extent_voxels: int
    class_share: Interval
    presence_share: Interval
    extent_share: Interval


@dataclass(frozen=True)
class StructureFigures:
    """Pairs of masks compared in one structure, over all cases.

    Attributes:
        structure: name of the class or group.
        dice, iou, surface_distance_mean_mm, surface_distance_95_mm: mean over cases of the mean over pairs.
        surface_dice: likewise, an entry a tolerance.
        cohen_kappa: likewise, inside against outside over the declared region.
        disagreement: of what kind.
        pairs: number of (case, pair).
        both_empty, one_empty: of these, how many drew nothing, and in how many only one did.
    """

    structure: str
    dice: Interval
    iou: Interval
    surface_distance_mean_mm: Interval
    surface_distance_95_mm: Interval
    surface_dice: tuple[Interval, ...]
    cohen_kappa: Interval
    disagreement: KindFigures
    pairs: int
    both_empty: int
    one_empty: int


def structure_figures(
    pairs: Sequence[Sequence[PairStatistics]], structures: Sequence[str], tolerances: int, over: Over
) -> tuple[StructureFigures, ...]:
    """Summarise the pairs of every case, one entry a structure; ``tolerances`` is the number of surface Dice."""
    rows = [[[p for p in case if p.structure == structure] for case in pairs] for structure in structures]
    kinds = [_kinds([[_kind_voxels(p) for p in case] for case in of_structure], over) for of_structure in rows]
    values = np.array([[_figures(case, tolerances) for case in of_structure] for of_structure in rows])
    columns = values.transpose(1, 0, 2).reshape(len(pairs), -1)
    found = np.array(over.means(columns), dtype=object).reshape(len(structures), -1)
    out = []
    for structure, of_structure, means, kind in zip(structures, rows, found, kinds, strict=True):
        empty = [p.empty for case in of_structure for p in case]
        dice, iou, mean_mm, percentile_mm, kappa, *surface = means
        figures = (dice, iou, mean_mm, percentile_mm, tuple(surface), kappa, kind)
        out.append(StructureFigures(structure, *figures, len(empty), empty.count(2), empty.count(1)))
    return tuple(out)


def _figures(pairs: Sequence[PairStatistics], tolerances: int) -> list[float]:
    """Mean over the pairs of one case of each figure, NaN where no pair has it."""
    rows = [(p.dice, p.iou, p.surface_mean_mm, p.surface_95_mm, p.cohen_kappa, *p.surface_dice) for p in pairs]
    columns = zip(*rows, strict=True) if rows else [()] * (5 + tolerances)
    known = [[v for v in column if not math.isnan(v)] for column in columns]
    return [sum(column) / len(column) if column else math.nan for column in known]


def _kind_voxels(pair: PairStatistics) -> tuple[int, int, int]:
    return pair.class_voxels, pair.presence_voxels, pair.extent_voxels


def kind_figures(tables: Sequence[Sequence[PairTables]], over: Over) -> KindFigures:
    """Kinds of disagreement between whole label maps, from the pair tables of every case."""
    return _kinds([[t.kinds for t in case] for case in tables], over)


def _kinds(voxels: Sequence[Sequence[NDArray[np.int64] | tuple[int, int, int]]], over: Over) -> KindFigures:
    """From the voxels of each kind of every pair of every case."""
    table = np.array([np.array(case, dtype=np.int64).reshape(-1, 3).sum(axis=0) for case in voxels])
    total = table.sum(axis=1, keepdims=True)
    # A case without any difference has no share to give, and is not counted.
    parts = np.where(total > 0, table, np.nan)
    shares = over.figures(np.stack([parts, np.broadcast_to(total, parts.shape)], axis=2), ratio)
    by_class, presence, extent = (int(n) for n in table.sum(axis=0))
    return KindFigures(by_class, presence, extent, *shares)
