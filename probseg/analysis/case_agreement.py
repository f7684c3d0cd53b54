"""How far the raters of one case differ: everything that is measured on voxels, as small tables and plain numbers.

Cases know nothing of each other, so this is the part that may run anywhere; `probseg.analysis.agreement` merges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.disagreement import Findings
from probseg.analysis.kappa import kappa_of_joint
from probseg.analysis.outlines import Outlines
from probseg.analysis.overlap import dice, iou, joint_histogram, structure_counts, structure_joint
from probseg.analysis.patterns import DrawnPatterns, PatternTable, drawn_patterns
from probseg.analysis.region import combination_region
from probseg.analysis.surfaces import SurfaceDistances
from probseg.analysis.volumes import structure_voxels
from probseg.analysis.vote_tables import VoteTables, vote_tables
from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.labels import LabelSet

__all__ = ["PREDICTION", "TOLERANCES_MM", "CaseStatistics", "PairStatistics", "PairTables", "case_statistics"]

PREDICTION = "prediction"
TOLERANCES_MM = (1.0, 2.0, 3.0)


@dataclass(frozen=True)
class PairStatistics:
    """Two masks of one case compared in one structure.

    Attributes:
        rater_a, rater_b: who drew them.
        structure: name of the class or group.
        dice, iou: 0..1; NaN where both are empty.
        surface_mean_mm, surface_95_mm: see `probseg.analysis.surfaces`; NaN where one is empty or spacing unknown.
        surface_mean_ab_mm, surface_mean_ba_mm, surface_95_ab_mm, surface_95_ba_mm: of one direction, from each surface
            voxel of a to the surface of b, or back.
        surface_dice: share of both surfaces within each tolerance of the other; NaN likewise.
        cohen_kappa: inside against outside, over the declared region; NaN where undefined.
        class_voxels, presence_voxels, extent_voxels: voxels in one of the two masks only, by the kind of disagreement
            (`probseg.analysis.disagreement`); they sum to all such voxels.
        empty: how many of the two drew nothing of it (0, 1 or 2), where both looked.
    """

    rater_a: str
    rater_b: str
    structure: str
    dice: float
    iou: float
    surface_mean_mm: float
    surface_95_mm: float
    surface_mean_ab_mm: float
    surface_mean_ba_mm: float
    surface_95_ab_mm: float
    surface_95_ba_mm: float
    surface_dice: tuple[float, ...]
    cohen_kappa: float
    class_voxels: int
    presence_voxels: int
    extent_voxels: int
    empty: int


@dataclass(frozen=True, eq=False)
class PairTables:
    """Two masks of one case compared as whole label maps: counts, which add up over cases.

    Attributes:
        rater_a, rater_b: who drew them.
        joint: ``(labels, labels)`` voxels that a calls i and b calls j, wherever both looked. Leaf classes come first,
            then labels of groups and unknown (`probseg.labels`).
        region: the same within the declared region.
        kinds: ``(3,)`` voxels at which the two contradict each other, by `probseg.analysis.disagreement.KINDS`.
    """

    rater_a: str
    rater_b: str
    joint: NDArray[np.int64]
    region: NDArray[np.int64]
    kinds: NDArray[np.int64]

    def cohen_kappa(self, num_classes: int) -> float:
        """Over the leaf classes and the declared region; NaN where undefined."""
        return kappa_of_joint(self.region[:num_classes, :num_classes])


@dataclass(frozen=True, eq=False)
class CaseStatistics:
    """What one case contributes to a report.

    Attributes:
        case_id, patient_id, site: of the case.
        raters: who rated any of it, in order.
        predicted: whether there is a prediction, which is then the last party.
        patterns: which labels the parties gave together, and how often, over the whole image; the parties are the
            raters in order, then the prediction. Any figure that does not ask where a voxel lies follows from it.
        votes: the votes of all raters, counted.
        pairs: every two raters who both rated some voxel, every structure.
        pair_tables: the same pairs, once each.
        prediction_pairs, prediction_tables: every rater against the prediction, if there is one.
        undecided_voxels: (voxel, rater) pairs whose label names no one class; they are no vote.
        sizes_voxels: rater to number of voxels of each structure in order; NaN where undefined.
        voxel_volume_ml: of one voxel; NaN where unknown.
        identical: pairs of raters whose masks are the same and not empty.
        different: pairs of raters whose masks differ.
        repeats: of each person who read the case more than once the statistics of these readings alone, the first
            under the person's name, as if by several raters (`probseg.analysis.repeats`).
    """

    case_id: str
    patient_id: str
    site: str
    raters: tuple[str, ...]
    predicted: bool
    patterns: PatternTable
    votes: VoteTables
    pairs: tuple[PairStatistics, ...]
    pair_tables: tuple[PairTables, ...]
    prediction_pairs: tuple[PairStatistics, ...]
    prediction_tables: tuple[PairTables, ...]
    undecided_voxels: int
    sizes_voxels: dict[str, tuple[float, ...]]
    voxel_volume_ml: float
    identical: tuple[tuple[str, str], ...]
    different: tuple[tuple[str, str], ...]
    repeats: tuple[CaseStatistics, ...] = ()

    @property
    def parties(self) -> tuple[str, ...]:
        """Names of the rows of ``patterns.labels``."""
        return (*self.raters, PREDICTION) if self.predicted else self.raters

    @property
    def complete_agreement(self) -> float:
        """Share of the voxels that any rater drew where all agree, leaf classes; NaN for one rater or nothing drawn."""
        return float(self.votes.complete_agreement[0])

    @property
    def rater_entropy(self) -> float:
        """Mean entropy of the vote over the declared region, nats; NaN likewise."""
        return float(self.votes.rater_entropy[0])

    @property
    def region_voxels(self) -> int:
        """Voxels of the declared region with two votes or more."""
        return int(self.votes.region_voxels[0])


def case_statistics(
    case: Case,
    labels: LabelSet,
    prediction: NDArray | None = None,
    *,
    region: str = "union",
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
) -> CaseStatistics:
    """Measure one case.

    Args:
        case: masks of dense labels of ``labels``. A rater who rated nothing of it is absent and not counted.
        labels: the label set; every foreground class and every group is measured.
        prediction: ``space`` dense labels of a model, compared with each rater; or None.
        region: where entropy and the figures beyond chance are measured, see
            `probseg.analysis.region.combination_region`; the raters declare it, the prediction has no say.
        tolerances_mm: of surface Dice.

    Raises:
        ProbsegError: E_SHAPE_MISMATCH where the prediction is not on the case's grid, E_ARGUMENT for an unknown region.
    """
    masks, rated, raters = _parties(case, prediction)
    names = raters if prediction is None else (*raters, PREDICTION)
    complete = [bool(r.all()) for r in rated]
    together = [(i, j) for i, j in combinations(range(len(names)), 2) if _overlap(rated, complete, i, j)]
    found = drawn_patterns(masks, len(labels.values), None if all(complete) else rated)
    table = PatternTable(found.labels, found.voxels)
    inside = combination_region(table.labels[: len(raters)], labels, region)
    compare = _Comparison(names, found, inside, labels, case.geometry.spacing, tuple(tolerances_mm))
    two, against = ([p for p in together if (p[1] < len(raters)) == own] for own in (True, False))
    own = table.labels[: len(raters)]
    undecided = (own >= labels.num_classes) & (own < len(labels.values))
    drawn = ((own > 0) & (own < len(labels.values))).any(axis=1)
    same = {(i, j) for i, j in two if np.array_equal(own[i], own[j])}
    return CaseStatistics(
        case.case_id,
        case.patient_id,
        case.site,
        raters,
        prediction is not None,
        table,
        vote_tables(own, table.voxels, inside, labels),
        tuple(p for pair in two for p in compare.structures(*pair)),
        tuple(compare.tables(*pair) for pair in two),
        tuple(p for pair in against for p in compare.structures(*pair)),
        tuple(compare.tables(*pair) for pair in against),
        int(undecided.sum(axis=0) @ table.voxels),
        _sizes(raters, table, complete, labels),
        case.geometry.voxel_volume_ml,
        tuple((raters[i], raters[j]) for i, j in two if (i, j) in same and drawn[i]),
        tuple((raters[i], raters[j]) for i, j in two if (i, j) not in same),
    )


def _parties(case: Case, prediction: NDArray | None) -> tuple[NDArray, NDArray[np.bool_], tuple[str, ...]]:
    """Masks and rated ``(parties, *space)`` of all who looked, the prediction last, and the names of the raters."""
    masks, rated = case.stacked()
    present = np.array([r.any() for r in rated], dtype=bool)
    raters = tuple(name for name, p in zip(case.masks, present, strict=True) if p)
    if not present.all():
        masks, rated = masks[present], rated[present]
    if prediction is None:
        return masks, rated, raters
    if prediction.shape != case.geometry.shape:
        raise ProbsegError(
            "E_SHAPE_MISMATCH",
            f"the prediction of case '{case.case_id}' has shape {prediction.shape} but the image has "
            f"{case.geometry.shape}; resample it to the image grid first",
        )
    masks = np.concatenate([masks, prediction[None].astype(masks.dtype)])
    return masks, np.concatenate([rated, np.ones((1, *prediction.shape), dtype=bool)]), raters


def _overlap(rated: NDArray[np.bool_], complete: Sequence[bool], i: int, j: int) -> bool:
    """Whether two raters looked at one same voxel."""
    return (complete[i] or complete[j]) or bool((rated[i] & rated[j]).any())


def _sizes(
    raters: Sequence[str], table: PatternTable, complete: Sequence[bool], labels: LabelSet
) -> dict[str, tuple[float, ...]]:
    out = {}
    for k, name in enumerate(raters):
        counts = np.bincount(table.labels[k], table.voxels, minlength=len(labels.values) + 1)[:-1]
        out[name] = tuple(structure_voxels(counts, labels.membership(s), complete[k]) for s in labels.structures)
    return out


class _Comparison:
    """Compares the parties of one case two by two."""

    def __init__(
        self,
        names: Sequence[str],
        found: DrawnPatterns,
        region: NDArray[np.bool_],
        labels: LabelSet,
        spacing_mm: Sequence[float] | None,
        tolerances_mm: tuple[float, ...],
    ) -> None:
        self._names, self._found, self._region = names, found, region
        self._labels, self._tolerances_mm = labels, tolerances_mm
        self._findings = Findings(found, labels)
        self._outlines = None if spacing_mm is None else Outlines(found, labels, spacing_mm)
        self._members = {s: np.append(labels.membership(s), np.int8(-1))[found.labels] for s in labels.structures}

    def tables(self, i: int, j: int) -> PairTables:
        return PairTables(
            self._names[i],
            self._names[j],
            self._joint(i, j, np.ones(len(self._region), dtype=bool)),
            self._joint(i, j, self._region),
            self._findings.kinds(i, j).sum(axis=1),
        )

    def _joint(self, i: int, j: int, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        a, b = self._found.labels[i, chosen], self._found.labels[j, chosen]
        return joint_histogram(a, b, len(self._labels.values), self._found.voxels[chosen]).astype(np.int64)

    def structures(self, i: int, j: int) -> list[PairStatistics]:
        tables, kinds, out = self.tables(i, j), self._findings.kinds(i, j), []
        for k, (structure, member) in enumerate(self._members.items()):
            counts = structure_counts(tables.joint, self._labels.membership(structure))
            distances = None
            if counts.first > 0 and counts.second > 0 and self._outlines is not None:
                distances = self._outlines.distances(k, i, j)
            differs = (member[i] != member[j]) & (member[i] != -1) & (member[j] != -1)
            by_class, presence, extent = (int(n) for n in kinds[:, differs].sum(axis=1))
            out.append(
                PairStatistics(
                    self._names[i],
                    self._names[j],
                    structure,
                    float(dice(counts)),
                    float(iou(counts)),
                    *_summary(distances),
                    tuple(math.nan if distances is None else distances.dice(t) for t in self._tolerances_mm),
                    kappa_of_joint(structure_joint(tables.region, self._labels.membership(structure))),
                    by_class,
                    presence,
                    extent,
                    int(counts.first == 0) + int(counts.second == 0),
                )
            )
        return out


def _summary(distances: SurfaceDistances | None) -> tuple[float, ...]:
    """Mean and 95th percentile of both directions together, then the means and the percentiles of each."""
    if distances is None:
        return (math.nan,) * 6
    means, percentiles = ([float(f(d)) for d in distances] for f in (np.mean, lambda d: np.percentile(d, 95)))
    return (distances.mean(), max(percentiles), *means, *percentiles)
