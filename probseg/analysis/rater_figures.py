"""A card a rater: agreement, bias in volume, sensitivity and specificity, confusion; where a name is a person.

Two truths that nobody knows stand in for the truth. The majority of the others leaves the rater out, and so does not
flatter them. STAPLE of all cases together weighs the raters by how good they seem, and includes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import Interval, bootstrap_columns
from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.consensus import HITS, ConsensusCounts, dice_of_hits
from probseg.analysis.patterns import PatternTable
from probseg.analysis.region import combination_region
from probseg.analysis.staple import staple_of_patterns
from probseg.analysis.volumes import log_volume_ratios
from probseg.labels import LabelSet

__all__ = ["ConfusionCell", "RaterCard", "RaterFigures", "StapleCounts", "rater_cards", "staple_counts"]


@dataclass(frozen=True)
class RaterFigures:
    """One rater in one structure.

    Attributes:
        rater, structure: which.
        dice: with each of the others, mean over cases of the mean over pairs.
        consensus_dice: with the majority of the others, mean over cases.
        sensitivity, specificity: against the majority of the others, over all voxels of the declared region.
        staple_sensitivity, staple_specificity: likewise against STAPLE's probability of the truth.
        volume_log_ratio: log of their volume over the geometric mean of the others', mean over cases; 0 is no bias.
    """

    rater: str
    structure: str
    dice: Interval
    consensus_dice: Interval
    sensitivity: Interval
    specificity: Interval
    staple_sensitivity: Interval
    staple_specificity: Interval
    volume_log_ratio: Interval


@dataclass(frozen=True)
class ConfusionCell:
    """What a rater calls that which is truly of one class: one cell.

    Attributes:
        truth: ``others`` or ``staple``.
        is_class, called: names of leaf classes.
        share: of the voxels of the region that are ``is_class``, the share that they call ``called``.
    """

    truth: str
    is_class: str
    called: str
    share: Interval


@dataclass(frozen=True)
class RaterCard:
    """All that is known of one rater.

    Attributes:
        rater: the name.
        cases: how many they read.
        structures: an entry a class and group.
        confusion: an entry a cell that occurs, for both truths.
    """

    rater: str
    cases: int
    structures: tuple[RaterFigures, ...]
    confusion: tuple[ConfusionCell, ...]


@dataclass(frozen=True, eq=False)
class StapleCounts:
    """Every reading against STAPLE's truth, as sums of probability over the voxels of the declared region.

    Attributes:
        hits: ``(cases, raters, structures, 4)`` voxels by `probseg.analysis.consensus.HITS`; NaN where the rater did
            not read the case.
        confusion: ``(cases, raters, C, C)`` voxels that truly are i and that the rater calls j; NaN likewise.
        converged: whether the estimate settled.
    """

    hits: NDArray[np.float64]
    confusion: NDArray[np.float64]
    converged: bool


def staple_counts(
    statistics: Sequence[CaseStatistics], labels: LabelSet, raters: Sequence[str], region: str = "union"
) -> StapleCounts | None:
    """STAPLE of all cases at once, each rater the same person throughout, and each reading against it.

    One estimate for all cases, because a rater's confusion is a habit: a case with one lesion says hardly anything of
    it, and would be believed. STAPLE takes every voxel for a witness of its own, but raters call findings as a whole:
    with few findings of a class, or few raters who mostly agree, it may take one rater for the truth. None where
    nothing lies in the region of any case.

    Args:
        statistics: of the cases.
        labels: the label set.
        raters: names, the rows of the estimate.
        region: the declared region, see `probseg.analysis.region.combination_region`.
    """
    shape = (len(statistics), len(raters))
    hits = np.full((*shape, len(labels.structures), len(HITS)), np.nan)
    confusion = np.full((*shape, labels.num_classes, labels.num_classes), np.nan)
    tables = [_of_raters(case, labels, raters, region) for case in statistics]
    columns, which = np.unique(np.concatenate([t.labels for t in tables], axis=1), axis=1, return_inverse=True)
    voxels = np.bincount(which.ravel(), np.concatenate([t.voxels for t in tables]), columns.shape[1])
    if not (columns < labels.num_classes).any():
        return None
    found = staple_of_patterns(PatternTable(columns, voxels.astype(np.intp)), labels.num_classes)
    ends = np.cumsum([len(t.voxels) for t in tables])
    for i, (case, table, of_case) in enumerate(
        zip(statistics, tables, np.split(which.ravel(), ends[:-1]), strict=True)
    ):
        truth = found.probability[:, of_case]  # (classes, combinations)
        for name in case.raters:
            r = raters.index(name)
            hits[i, r], confusion[i, r] = _against(table.labels[r], truth, table.voxels, labels)
    return StapleCounts(hits, confusion, found.converged)


def _of_raters(case: CaseStatistics, labels: LabelSet, raters: Sequence[str], region: str) -> PatternTable:
    """The combinations of a case within the region, a row a rater of the dataset; whoever did not read it gave none."""
    own = case.patterns.labels[: len(case.raters)]
    inside = combination_region(own, labels, region)
    rows = np.full((len(raters), int(inside.sum())), len(labels.values), dtype=np.intp)
    rows[[raters.index(r) for r in case.raters]] = own[:, inside]
    return PatternTable(rows, case.patterns.voxels[inside])


def _against(
    own: NDArray[np.intp], truth: NDArray[np.float64], voxels: NDArray[np.intp], labels: LabelSet
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``(structures, 4)`` and ``(C, C)`` of one reading; voxels of which STAPLE knows nothing have no probability."""
    heard = truth.sum(axis=0) > 0
    hits = []
    for name in labels.structures:
        member = np.append(labels.membership(name), -1)[own]
        inside = truth[labels.members(name)].sum(axis=0)
        outside = np.where(heard, 1.0 - inside, 0.0)
        weights = [(member == 1, inside), (member == 0, inside), (member == 1, outside), (member == 0, outside)]
        hits.append([float((drawn * mass) @ voxels) for drawn, mass in weights])
    votes = own[:, None] == np.arange(labels.num_classes)
    return np.array(hits), (truth * voxels) @ votes


def rater_cards(
    statistics: Sequence[CaseStatistics],
    consensus: Sequence[ConsensusCounts],
    labels: LabelSet,
    region: str = "union",
    samples: int = 1000,
    seed: int = 0,
) -> tuple[RaterCard, ...]:
    """A card a rater, sorted by name; only for data whose names are persons.

    Sensitivity and specificity are ratios of sums over cases. Intervals of figures against STAPLE hold its estimate of
    the truth fixed, and so say nothing of how wrong that may be.

    Args:
        statistics: of the cases.
        consensus: of the same cases.
        labels: the label set.
        region: the declared region.
        samples: bootstrap samples.
        seed: of the bootstrap.
    """
    raters = sorted({r for s in statistics for r in s.raters})
    patients = np.array([s.patient_id for s in statistics])
    found = staple_counts(statistics, labels, raters, region)

    def intervals(tops: NDArray, bottoms: NDArray) -> list[Interval]:
        """Ratios of sums; both ``(cases, figures)``."""
        return bootstrap_columns(np.stack([tops, bottoms], axis=-1), patients, ratio, samples, seed)

    cards, pairwise = [], _pairwise(statistics, raters, labels)
    for r, rater in enumerate(raters):
        means = [pairwise[:, r], *_own(statistics, consensus, rater, labels)]
        columns = np.concatenate(means, axis=1)
        of_mean = intervals(columns, np.where(np.isnan(columns), np.nan, 1.0))
        hits = [_hits(consensus, rater, len(labels.structures))]
        hits.append(np.full_like(hits[0], np.nan) if found is None else found.hits[:, r])
        rates = [intervals(h[..., top], h[..., top] + h[..., rest]) for h in hits for top, rest in ((0, 1), (3, 2))]
        n = len(labels.structures)
        dice, consensus_dice, bias = (of_mean[k * n : (k + 1) * n] for k in range(3))
        figures = zip(labels.structures, dice, consensus_dice, *rates, bias, strict=True)
        tables = {"others": _confusions(consensus, rater, labels.num_classes)}
        tables |= {} if found is None else {"staple": found.confusion[:, r]}
        cells = [c for truth, table in tables.items() for c in _cells(truth, table, labels, intervals)]
        cases = sum(rater in s.raters for s in statistics)
        cards.append(RaterCard(rater, cases, tuple(RaterFigures(rater, *row) for row in figures), tuple(cells)))
    return tuple(cards)


def _pairwise(statistics: Sequence[CaseStatistics], raters: Sequence[str], labels: LabelSet) -> NDArray[np.float64]:
    """``(cases, raters, structures)`` mean Dice with each of the others."""
    total = np.zeros((len(statistics), len(raters), len(labels.structures)))
    count = np.zeros(total.shape, dtype=int)
    row, column = {r: k for k, r in enumerate(raters)}, {s: k for k, s in enumerate(labels.structures)}
    for i, case in enumerate(statistics):
        for pair in case.pairs:
            if not math.isnan(pair.dice):
                both = [row[pair.rater_a], row[pair.rater_b]]
                total[i, both, column[pair.structure]] += pair.dice
                count[i, both, column[pair.structure]] += 1
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _own(
    statistics: Sequence[CaseStatistics], consensus: Sequence[ConsensusCounts], rater: str, labels: LabelSet
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Consensus Dice and volume log ratio, each ``(cases, structures)``."""
    shape = (len(statistics), len(labels.structures))
    dice, bias = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, (case, counts) in enumerate(zip(statistics, consensus, strict=True)):
        if rater in case.raters:
            r = case.raters.index(rater)
            dice[i] = dice_of_hits(counts.whole[r, 0])
            # The size of a voxel cancels, so images without spacing have a ratio as well.
            sizes = np.array([case.sizes_voxels[name] for name in case.raters], dtype=np.float64)
            bias[i] = log_volume_ratios(sizes.T)[:, r]
    return dice, bias


def _hits(consensus: Sequence[ConsensusCounts], rater: str, structures: int) -> NDArray[np.float64]:
    out = np.full((len(consensus), structures, len(HITS)), np.nan)
    for i, counts in enumerate(consensus):
        if rater in counts.raters:
            out[i] = counts.region[counts.raters.index(rater), 0]
    return out


def _confusions(consensus: Sequence[ConsensusCounts], rater: str, num_classes: int) -> NDArray[np.float64]:
    out = np.full((len(consensus), num_classes, num_classes), np.nan)
    for i, counts in enumerate(consensus):
        if rater in counts.raters:
            out[i] = counts.confusion[counts.raters.index(rater)]
    return out


def _cells(
    truth: str,
    table: NDArray[np.float64],
    labels: LabelSet,
    intervals: Callable[[NDArray, NDArray], list[Interval]],
) -> list[ConfusionCell]:
    """Every cell of ``(cases, C, C)`` that occurs, as a share of its row."""
    rows = np.broadcast_to(table.sum(axis=2, keepdims=True), table.shape)
    places = np.argwhere(np.nansum(table, axis=0) > 0)
    if not len(places):
        return []
    tops, bottoms = (t[:, places[:, 0], places[:, 1]] for t in (table, rows))
    found = zip(places, intervals(tops, bottoms), strict=True)
    return [ConfusionCell(truth, labels.names[i], labels.names[j], share) for (i, j), share in found]
