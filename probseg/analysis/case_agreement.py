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

from probseg.analysis.entropy import complete_agreement, rater_entropy, union_of_foreground, votes
from probseg.analysis.overlap import dice, iou, joint_histogram, structure_counts
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
    masks, rated = masks[:, *box], rated[:, *box]
    two = [pair for pair in together if pair[1] < len(raters)]
    against = [pair for pair in together if pair[1] == len(raters)]
    own, own_rated, classes = masks[: len(raters)], rated[: len(raters)], labels.num_classes
    region = union_of_foreground(votes(own, classes, own_rated)) if raters else np.zeros(0, dtype=bool)
    same = {(i, j) for i, j in two if np.array_equal(own[i], own[j]) and np.array_equal(own_rated[i], own_rated[j])}
    return CaseStatistics(
        case.case_id,
        case.patient_id,
        case.site,
        raters,
        _pairs(names, masks, rated, two, labels, case.geometry.spacing),
        _pairs(names, masks, rated, against, labels, case.geometry.spacing),
        complete_agreement(own, classes, own_rated) if len(raters) > 1 else math.nan,
        float(rater_entropy(own, classes, own_rated)[region].mean()) if region.any() else math.nan,
        int(region.sum()),
        int(((own >= classes) & own_rated).sum()),
        _sizes(raters, own, own_rated, complete, labels),
        case.geometry.voxel_volume_ml,
        tuple((raters[i], raters[j]) for i, j in two if (i, j) in same and (own[i] != 0).any()),
        tuple((raters[i], raters[j]) for i, j in two if (i, j) not in same),
    )


def _overlap(rated: NDArray[np.bool_], complete: Sequence[bool], i: int, j: int) -> bool:
    """Whether two raters looked at one same voxel."""
    return (complete[i] or complete[j]) or bool((rated[i] & rated[j]).any())


def _sizes(
    raters: Sequence[str], masks: NDArray, rated: NDArray[np.bool_], complete: Sequence[bool], labels: LabelSet
) -> dict[str, tuple[float, ...]]:
    out = {}
    for k, name in enumerate(raters):
        counts = np.bincount(masks[k][rated[k]], minlength=len(labels.values))
        out[name] = tuple(structure_voxels(counts, labels.membership(s), complete[k]) for s in labels.structures)
    return out


def _pairs(
    names: Sequence[str],
    masks: NDArray,
    rated: NDArray[np.bool_],
    chosen: Sequence[tuple[int, int]],
    labels: LabelSet,
    spacing_mm: Sequence[float] | None,
) -> tuple[PairStatistics, ...]:
    joint = {(i, j): joint_histogram(masks[i], masks[j], len(labels.values), rated[i] & rated[j]) for i, j in chosen}
    by_structure = {s: _Outlines(masks, rated, labels.membership(s), spacing_mm) for s in labels.structures}
    out = []
    for (i, j), histogram in joint.items():
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

    def __init__(
        self, masks: NDArray, rated: NDArray[np.bool_], membership: NDArray[np.int8], spacing: Sequence[float] | None
    ) -> None:
        self._masks, self._rated, self._membership, self._spacing = masks, rated, membership, spacing
        self._whole: dict[int, cKDTree | None] = {}
        self._open: dict[int, NDArray[np.bool_] | None] = {}

    def _left_out(self, k: int) -> NDArray[np.bool_] | None:
        """Voxels where rater k says nothing of this structure; None where there are none."""
        if k not in self._open:
            left_out = (self._membership == -1)[self._masks[k]] | ~self._rated[k]
            self._open[k] = left_out if left_out.any() else None
        return self._open[k]

    def of_pair(self, i: int, j: int) -> tuple[cKDTree | None, cKDTree | None]:
        return self._outline(i, self._left_out(j)), self._outline(j, self._left_out(i))

    def _outline(self, k: int, hidden: NDArray[np.bool_] | None) -> cKDTree | None:
        assert self._spacing is not None
        if hidden is None and k in self._whole:
            return self._whole[k]
        inside = (self._membership == 1)[self._masks[k]] & self._rated[k]
        if hidden is not None:
            return surface(inside & ~hidden, self._spacing)
        self._whole[k] = surface(inside, self._spacing)
        return self._whole[k]
