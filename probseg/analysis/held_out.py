"""Every figure of a case with one rater held out, and with the prediction in their place: the human ceiling by case.

Both are measured against the same other raters, so the two differ by who stands in the place and by nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.case_agreement import PREDICTION, TOLERANCES_MM, CaseStatistics, PairStatistics
from probseg.analysis.consensus import against_others, dice_of_hits, sensitivity_of_hits, specificity_of_hits
from probseg.analysis.known import mean_known
from probseg.analysis.region import combination_region
from probseg.analysis.volumes import structure_voxels
from probseg.analysis.vote_tables import vote_tables
from probseg.labels import LabelSet

__all__ = ["ALL_CLASSES", "ICC", "Better", "HeldOut", "held_out", "kinds_of_figure"]

ALL_CLASSES = "all classes"
"""Stands for the leaf classes together where a figure is not of one structure."""

ICC = "icc_2_1"
"""A figure of all cases together, which no case has: see `probseg.analysis.volume_ceiling`."""

Better = Literal["higher", "lower", "nought"]

_PAIRED: dict[str, tuple[Better, Callable[[PairStatistics], float]]] = {
    "dice": ("higher", lambda p: p.dice),
    "iou": ("higher", lambda p: p.iou),
    "surface_distance_mean_mm": ("lower", lambda p: p.surface_mean_mm),
    "surface_distance_95_mm": ("lower", lambda p: p.surface_95_mm),
    "cohen_kappa": ("higher", lambda p: p.cohen_kappa),
}
_CONSENSUS: dict[str, tuple[Better, Callable[[NDArray], NDArray[np.float64]], str]] = {
    "consensus_dice": ("higher", dice_of_hits, "whole"),
    "consensus_sensitivity": ("higher", sensitivity_of_hits, "region"),
    "consensus_specificity": ("higher", specificity_of_hits, "region"),
}
_TOGETHER: dict[str, Better] = {
    "complete_agreement": "higher",
    "rater_entropy": "lower",
    "fleiss_kappa": "higher",
    "krippendorff_alpha": "higher",
}
_VOLUMES: dict[str, Better] = {
    "volume_log_ratio": "nought",
    "volume_log_ratio_size": "lower",
    "volume_error_ml": "lower",
    "within_range": "higher",
}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The figures of all cases with each rater held out in turn.

    Attributes:
        names: ``(figure, structure)`` of each column.
        places: names of the raters who are held out, or positions within a case where raters are nobody.
        values: ``(cases, places, columns, 2)``: of the rater in their place, then of the prediction in it. NaN where
            undefined, and throughout for a case with fewer than two raters or without a prediction.
    """

    names: tuple[tuple[str, str], ...]
    places: tuple[str, ...]
    values: NDArray[np.float64]


def kinds_of_figure(tolerances_mm: Sequence[float] = TOLERANCES_MM) -> dict[str, tuple[Better, bool]]:
    """Every figure: which way is better, and whether it compares pairs and so has a Williams index."""
    kinds: dict[str, tuple[Better, bool]] = {name: (better, True) for name, (better, _) in _PAIRED.items()}
    kinds |= {_surface_dice(t): ("higher", True) for t in tolerances_mm}
    kinds |= {name: (better, False) for name, (better, _, _) in _CONSENSUS.items()}
    kinds |= {name: (better, False) for name, better in _TOGETHER.items()}
    return kinds | {name: (better, False) for name, better in _VOLUMES.items()} | {ICC: ("higher", False)}


def _surface_dice(tolerance_mm: float) -> str:
    return f"surface_dice_{tolerance_mm:g}_mm"


def held_out(
    statistics: Sequence[CaseStatistics],
    labels: LabelSet,
    stable: bool,
    region: str = "union",
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
) -> HeldOut:
    """Measure every case with each of its raters held out.

    Pairs (Dice, IoU, surface distances, surface Dice, Cohen's kappa): mean over the other raters. Consensus: against
    the majority of the others (`probseg.analysis.consensus`). Together (complete agreement, entropy, Fleiss,
    Krippendorff): of all raters, and of the same with the prediction for the one held out, over the region that all
    raters declare. Volumes: log ratio to the geometric mean of the others, and its size; mL from the others' mean;
    1 where it lies between the others' smallest and largest, 0 elsewhere.

    Args:
        statistics: of the cases, with predictions.
        labels: the label set.
        stable: whether a rater's name is the same person in every case.
        region: the declared region, see `probseg.analysis.region.combination_region`.
        tolerances_mm: of surface Dice, as the statistics were made with.
    """
    structures = labels.structures
    members = [labels.membership(s) for s in structures]
    paired = [*_PAIRED, *(_surface_dice(t) for t in tolerances_mm)]
    names = [(f, s) for f in (*paired, *_CONSENSUS) for s in structures]
    names += [(f, s) for f in _TOGETHER for s in (ALL_CLASSES, *structures)]
    names += [(f, s) for f in _VOLUMES for s in structures]
    most = max((len(s.raters) for s in statistics), default=0)
    places = sorted({r for s in statistics for r in s.raters}) if stable else [str(k + 1) for k in range(most)]
    values = np.full((len(statistics), len(places), len(names), 2), np.nan)
    for i, case in enumerate(statistics):
        if len(case.raters) < 2 or not case.predicted:
            continue
        where = [places.index(r) for r in case.raters] if stable else list(range(len(case.raters)))
        parts = (
            _paired(case, structures, len(tolerances_mm)),
            _consensus(case, labels, region),
            _together(case, labels, region),
            _volumes(case, members),
        )
        values[i, where] = np.concatenate(parts, axis=1)
    return HeldOut(tuple(names), tuple(places), values)


def _paired(case: CaseStatistics, structures: Sequence[str], tolerances: int) -> NDArray[np.float64]:
    """``(raters, figures * structures, 2)``."""
    num, shape = len(case.raters), (len(_PAIRED) + tolerances, len(structures))
    own = np.full((num, num, *shape), np.nan)
    given = np.full((num, *shape), np.nan)
    row, column = {r: k for k, r in enumerate(case.raters)}, {s: k for k, s in enumerate(structures)}
    for pair in (*case.pairs, *case.prediction_pairs):
        figures = (*(value(pair) for _, value in _PAIRED.values()), *pair.surface_dice)
        a, k = row[pair.rater_a], column[pair.structure]
        if pair.rater_b == PREDICTION:
            given[a, :, k] = figures
        else:
            b = row[pair.rater_b]
            own[a, b, :, k] = own[b, a, :, k] = figures
    # In each place the prediction meets all raters but the one who is held out.
    others = np.where(np.eye(num, dtype=bool)[:, :, None, None], np.nan, given[None])
    both = np.stack([mean_known(own, axis=1), mean_known(others, axis=1)], axis=-1)
    return both.reshape(num, -1, 2)


def _consensus(case: CaseStatistics, labels: LabelSet, region: str) -> NDArray[np.float64]:
    counts = against_others(case, labels, region)
    figures = [figure(getattr(counts, where)) for _, figure, where in _CONSENSUS.values()]  # (raters, 2, structures)
    return np.concatenate([f.transpose(0, 2, 1) for f in figures], axis=1)


def _together(case: CaseStatistics, labels: LabelSet, region: str) -> NDArray[np.float64]:
    num, voxels = len(case.raters), case.patterns.voxels
    own, given = case.patterns.labels[:num], case.patterns.labels[num]
    inside = combination_region(own, labels, region)

    def figures(raters: NDArray[np.intp]) -> NDArray[np.float64]:
        tables = vote_tables(raters, voxels, inside, labels)
        return np.concatenate([getattr(tables, name) for name in _TOGETHER])

    of_raters, out = figures(own), []
    for h in range(num):
        replaced = own.copy()
        replaced[h] = given
        out.append(np.stack([of_raters, figures(replaced)], axis=-1))
    return np.array(out)


def _volumes(case: CaseStatistics, members: Sequence[NDArray[np.int8]]) -> NDArray[np.float64]:
    num, sizes = len(case.raters), []
    for row in case.patterns.labels:
        counts = np.bincount(row, case.patterns.voxels, len(members[0]) + 1)
        sizes.append([structure_voxels(counts[:-1], m, counts[-1] == 0) for m in members])
    table = np.array(sizes, dtype=np.float64)  # (parties, structures)
    out = np.full((num, len(_VOLUMES), len(members), 2), np.nan)
    for h in range(num):
        others = np.delete(table[:num], h, axis=0)
        for place, party in enumerate((h, num)):
            out[h, :, :, place] = _against(table[party], others, case.voxel_volume_ml)
    return out.reshape(num, -1, 2)


def _against(own: NDArray[np.float64], others: NDArray[np.float64], voxel_ml: float) -> NDArray[np.float64]:
    """``(figures, structures)`` of one party's sizes against those of the others, ``(others, structures)``."""
    logs = np.full(others.shape, np.nan)
    np.log(others, out=logs, where=others > 0)
    ratio = np.log(own, out=np.full(own.shape, np.nan), where=own > 0) - mean_known(logs, axis=0)
    error = np.abs(own - mean_known(others, axis=0)) * voxel_ml
    known = ~np.isnan(others)
    least, most = np.where(known, others, math.inf).min(axis=0), np.where(known, others, -math.inf).max(axis=0)
    within = np.where((known.sum(axis=0) >= 2) & ~np.isnan(own), (least <= own) & (own <= most), np.nan)
    return np.stack([ratio, np.abs(ratio), error, within])
