"""One rater against what the others say together, case by case, as counts that add up over cases.

A rater who is part of the consensus agrees with themselves, so the consensus leaves them out: it is the majority of the
others. A prediction that takes their place is judged by the same others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.entropy import votes
from probseg.analysis.region import combination_region
from probseg.labels import LabelSet

__all__ = ["HITS", "ConsensusCounts", "against_others", "dice_of_hits", "sensitivity_of_hits", "specificity_of_hits"]

HITS = ("true_positive", "false_negative", "false_positive", "true_negative")


@dataclass(frozen=True, eq=False)
class ConsensusCounts:
    """One case: every rater, and the prediction in each rater's place, against the majority of the other raters.

    Whether a voxel belongs to a structure is a question of yes or no, put to the majority of those others who decided
    it; a tie is no and is counted. A voxel that none of the others decided, or not the party itself, is left out.

    Attributes:
        raters: of the case, in order; the first axis of everything below is the rater who is left out.
        whole: ``(raters, 2, structures, 4)`` voxels by `HITS`, of the rater and then of the prediction in their place;
            the prediction's are 0 where there is none.
        region: the same within the declared region; true negatives have a meaning only there.
        ties: ``(raters, structures)`` tied voxels, over the whole image.
        confusion: ``(raters, C, C)`` voxels of the region that the others call i, by plurality and the lower class in
            a tie, and the rater calls j; leaf classes.
    """

    raters: tuple[str, ...]
    whole: NDArray[np.int64]
    region: NDArray[np.int64]
    ties: NDArray[np.int64]
    confusion: NDArray[np.int64]


def against_others(case: CaseStatistics, labels: LabelSet, region: str = "union") -> ConsensusCounts:
    """Count one case; a lone rater has no others, and all counts are 0.

    Args:
        case: its statistics.
        labels: the label set.
        region: the declared region, see `probseg.analysis.region.combination_region`.
    """
    num, voxels = len(case.raters), case.patterns.voxels
    own = case.patterns.labels[:num]
    inside = combination_region(own, labels, region)
    memberships = np.array([np.append(labels.membership(s), -1) for s in labels.structures], dtype=np.int8)
    member = memberships[:, case.patterns.labels].transpose(1, 0, 2)  # (parties, structures, combinations)
    drawn, decided = (member[:num] == 1).sum(axis=0), (member[:num] != -1).sum(axis=0)
    shape = (num, 2, len(labels.structures), len(HITS))
    whole, within = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    ties = np.zeros(shape[::2], dtype=np.int64)
    confusion = np.zeros((num, labels.num_classes, labels.num_classes), dtype=np.int64)
    counts = votes(own, labels.num_classes)
    for h in range(num):
        yes = drawn - (member[h] == 1)
        heard = decided - (member[h] != -1)
        consensus, known = 2 * yes > heard, heard > 0
        ties[h] = (known & (2 * yes == heard)) @ voxels
        for place, party in enumerate((h, num)[: 1 + case.predicted]):
            counted = known & (member[party] != -1)
            whole[h, place] = _hits(member[party] == 1, consensus, counted * voxels)
            within[h, place] = _hits(member[party] == 1, consensus, counted * voxels * inside)
        confusion[h] = _confusion(own[h], counts, inside * voxels)
    return ConsensusCounts(case.raters, whole, within, ties, confusion)


def _hits(drawn: NDArray[np.bool_], truth: NDArray[np.bool_], voxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """``(structures, 4)`` from ``(structures, combinations)``."""
    pairs = ((drawn, truth), (~drawn, truth), (drawn, ~truth), (~drawn, ~truth))
    return np.stack([np.where(a & b, voxels, 0).sum(axis=1) for a, b in pairs], axis=1)


def _confusion(labels: NDArray[np.intp], counts: NDArray[np.int64], voxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """``(C, C)``: plurality of the others by the rater's own leaf label."""
    num_classes = len(counts)
    own = labels < num_classes
    others = counts - (np.arange(num_classes)[:, None] == labels)
    known = own & (others.sum(axis=0) > 0)
    index = others.argmax(axis=0)[known] * num_classes + labels[known]
    table = np.bincount(index, voxels[known], minlength=num_classes**2)
    return table.reshape(num_classes, num_classes).astype(np.int64)


def dice_of_hits(hits: NDArray) -> NDArray[np.float64]:
    """``(..., 4)`` of `HITS` to Dice ``2 TP / (2 TP + FN + FP)``; NaN where neither drew anything."""
    tp, fn, fp = (hits[..., k].astype(np.float64) for k in range(3))
    return _share(2 * tp, 2 * tp + fn + fp)


def sensitivity_of_hits(hits: NDArray) -> NDArray[np.float64]:
    """``TP / (TP + FN)``: of what the others drew, the share that the party drew; NaN where they drew nothing."""
    return _share(hits[..., 0], hits[..., 0] + hits[..., 1])


def specificity_of_hits(hits: NDArray) -> NDArray[np.float64]:
    """``TN / (TN + FP)``: of what the others left, the share that the party left; NaN where they left nothing."""
    return _share(hits[..., 3], hits[..., 3] + hits[..., 2])


def _share(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0, dtype=np.float64)
