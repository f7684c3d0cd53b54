"""How far the raters of one case differ: everything that is measured on voxels, as plain numbers.

Cases know nothing of each other, so this is the part that may run anywhere; `probseg.analysis.agreement` merges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from probseg.analysis.entropy import rater_entropy, union_of_foreground, votes
from probseg.analysis.overlap import dice, iou, joint_histogram, structure_counts
from probseg.analysis.patterns import Patterns, vote_patterns
from probseg.analysis.region import bounding_box
from probseg.analysis.surfaces import both_ways, mean_distance, percentile_distance, surface
from probseg.analysis.volumes import structure_voxels
from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.labels import LabelSet

__all__ = ["PREDICTION", "CaseStatistics", "PairStatistics", "case_statistics"]

PREDICTION = "prediction"


@dataclass(frozen=True)
class PairStatistics:
    """Two masks of one case compared in one structure.

    Attributes:
        rater_a, rater_b: who drew them.
        structure: name of the class or group.
        dice, iou: 0..1; NaN where both are empty.
        surface_mean_mm, surface_95_mm: see `probseg.analysis.surfaces`; NaN where one is empty or spacing unknown.
        empty: how many of the two drew nothing of it (0, 1 or 2), where both looked.
    """

    rater_a: str
    rater_b: str
    structure: str
    dice: float
    iou: float
    surface_mean_mm: float
    surface_95_mm: float
    empty: int


@dataclass(frozen=True)
class CaseStatistics:
    """What one case contributes to a report.

    Attributes:
        case_id, patient_id, site: of the case.
        raters: who rated any of it, in order.
        pairs: every two raters who both rated some voxel, every structure.
        prediction_pairs: every rater against the prediction, if there is one.
        complete_agreement: 0..1, NaN for one rater or nothing drawn.
        rater_entropy: mean over the union of foreground, nats; NaN likewise.
        region_voxels: size of that union.
        undecided_voxels: (voxel, rater) pairs whose label names no one class; they are no vote.
        sizes_voxels: rater to number of voxels of each structure in order; NaN where undefined.
        voxel_volume_ml: of one voxel; NaN where unknown.
        identical: pairs of raters whose masks are the same and not empty.
        different: pairs of raters whose masks differ.
    """

    case_id: str
    patient_id: str
    site: str
    raters: tuple[str, ...]
    pairs: tuple[PairStatistics, ...]
    prediction_pairs: tuple[PairStatistics, ...]
    complete_agreement: float
    rater_entropy: float
    region_voxels: int
    undecided_voxels: int
    sizes_voxels: dict[str, tuple[float, ...]]
    voxel_volume_ml: float
    identical: tuple[tuple[str, str], ...]
    different: tuple[tuple[str, str], ...]


def case_statistics(case: Case, labels: LabelSet, prediction: NDArray | None = None) -> CaseStatistics:
    """Measure one case.

    Args:
        case: masks of dense labels of ``labels``. A rater who rated nothing of it is absent and not counted.
        labels: the label set; every foreground class and every group is measured.
        prediction: ``space`` dense labels of a model, compared with each rater; or None.

    Raises:
        ProbsegError: E_SHAPE_MISMATCH where the prediction is not on the case's grid.
    """
    masks, rated = case.stacked()
    present = np.array([r.any() for r in rated], dtype=bool)
    raters = tuple(name for name, p in zip(case.masks, present, strict=True) if p)
    masks, rated = masks[present], rated[present]
    if prediction is not None:
        if prediction.shape != case.geometry.shape:
            raise ProbsegError(
                "E_SHAPE_MISMATCH",
                f"the prediction of case '{case.case_id}' has shape {prediction.shape} but the image has "
                f"{case.geometry.shape}; resample it to the image grid first",
            )
        masks = np.concatenate([masks, prediction[None].astype(masks.dtype)])
        rated = np.concatenate([rated, np.ones((1, *prediction.shape), dtype=bool)])
    names = raters if prediction is None else (*raters, PREDICTION)
    complete = [bool(r.all()) for r in rated]
    together = [(i, j) for i, j in combinations(range(len(names)), 2) if _overlap(rated, complete, i, j)]
    # Beyond this box everything is background to everyone.
    box = bounding_box((masks != 0).any(axis=0)) or tuple(slice(0, 1) for _ in case.geometry.shape)
    found = vote_patterns(masks[:, *box], len(labels.values), rated[:, *box])
    own = found.labels[: len(raters)]
    two = [pair for pair in together if pair[1] < len(raters)]
    against = [pair for pair in together if pair[1] == len(raters)]
    counts = votes(own, labels.num_classes)
    region = union_of_foreground(counts)
    weight = found.voxels[region]
    agreed = counts.max(axis=0)[region] == counts.sum(axis=0)[region]
    entropy = rater_entropy(own, labels.num_classes)[region]
    undecided = (own >= labels.num_classes) & (own < len(labels.values))
    drawn = np.atleast_1d(((own > 0) & (own < len(labels.values))).any(axis=1))
    same = {(i, j) for i, j in two if np.array_equal(own[i], own[j])}
    return CaseStatistics(
        case.case_id,
        case.patient_id,
        case.site,
        raters,
        _pairs(names, found, two, labels, case.geometry.spacing),
        _pairs(names, found, against, labels, case.geometry.spacing),
        float(np.average(agreed, weights=weight)) if region.any() else math.nan,
        float(np.average(entropy, weights=weight)) if region.any() else math.nan,
        int(weight.sum()),
        int(undecided.sum(axis=0) @ found.voxels),
        _sizes(raters, found, complete, labels),
        case.geometry.voxel_volume_ml,
        tuple((raters[i], raters[j]) for i, j in two if (i, j) in same and drawn[i]),
        tuple((raters[i], raters[j]) for i, j in two if (i, j) not in same),
    )


def _overlap(rated: NDArray[np.bool_], complete: Sequence[bool], i: int, j: int) -> bool:
    """Whether two raters looked at one same voxel."""
    return (complete[i] or complete[j]) or bool((rated[i] & rated[j]).any())


def _sizes(
    raters: Sequence[str], found: Patterns, complete: Sequence[bool], labels: LabelSet
) -> dict[str, tuple[float, ...]]:
    out = {}
    for k, name in enumerate(raters):
        counts = np.bincount(found.labels[k], found.voxels, minlength=len(labels.values) + 1)[:-1]
        out[name] = tuple(structure_voxels(counts, labels.membership(s), complete[k]) for s in labels.structures)
    return out


def _pairs(
    names: Sequence[str],
    found: Patterns,
    chosen: Sequence[tuple[int, int]],
    labels: LabelSet,
    spacing_mm: Sequence[float] | None,
) -> tuple[PairStatistics, ...]:
    by_structure = {s: _Outlines(found, labels.membership(s), spacing_mm) for s in labels.structures}
    out = []
    for i, j in chosen:
        histogram = joint_histogram(found.labels[i], found.labels[j], len(labels.values), found.voxels)
        for structure, outlines in by_structure.items():
            counts = structure_counts(histogram, labels.membership(structure))
            distances = None
            if counts.first > 0 and counts.second > 0 and spacing_mm is not None:
                distances = both_ways(*outlines.of_pair(i, j))
            out.append(
                PairStatistics(
                    names[i],
                    names[j],
                    structure,
                    float(dice(counts)),
                    float(iou(counts)),
                    mean_distance(distances),
                    percentile_distance(distances, 95),
                    int(counts.first == 0) + int(counts.second == 0),
                )
            )
    return tuple(out)


class _Outlines:
    """Surfaces of one structure as each rater drew it, found once where nothing is left out of a pair."""

    def __init__(self, found: Patterns, membership: NDArray[np.int8], spacing: Sequence[float] | None) -> None:
        # Not rated is as undecided as a label that leaves the structure open.
        self._member = np.append(membership, np.int8(-1))[found.labels]  # (raters, combinations)
        self._which, self._spacing = found.which, spacing
        self._whole: dict[int, cKDTree | None] = {}

    def of_pair(self, i: int, j: int) -> tuple[cKDTree | None, cKDTree | None]:
        return self._outline(i, j), self._outline(j, i)

    def _outline(self, k: int, other: int) -> cKDTree | None:
        """What rater k drew of it, where the other rater says whether it is there."""
        assert self._spacing is not None
        inside, hidden = self._member[k] == 1, self._member[other] == -1
        if (inside & hidden).any():
            return surface((inside & ~hidden)[self._which], self._spacing)
        if k not in self._whole:
            self._whole[k] = surface(inside[self._which], self._spacing)
        return self._whole[k]
