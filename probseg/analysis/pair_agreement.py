"""Two label maps of one case compared in every structure: overlap, surfaces, kappa, and the kinds of disagreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.disagreement import Findings
from probseg.analysis.kappa import kappa_of_joint
from probseg.analysis.outlines import Outlines
from probseg.analysis.overlap import dice, iou, joint_histogram, structure_counts, structure_joint
from probseg.analysis.patterns import DrawnPatterns
from probseg.analysis.surfaces import SurfaceDistances
from probseg.labels import LabelSet

__all__ = ["PairComparison", "PairStatistics", "PairTables"]


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


class PairComparison:
    """Compares the parties of one case two by two.

    Args:
        names: of the parties.
        found: label combinations of the case.
        region: ``(combinations,)`` which lie in the declared region.
        labels: the label set.
        spacing_mm: distance of neighbours along each axis; None where unknown, and there are no distances.
        tolerances_mm: of surface Dice.
    """

    def __init__(
        self,
        names: Sequence[str],
        found: DrawnPatterns,
        region: NDArray[np.bool_],
        labels: LabelSet,
        spacing_mm: Sequence[float] | None,
        tolerances_mm: Sequence[float],
    ) -> None:
        self._names, self._found, self._region = names, found, region
        self._labels, self._tolerances_mm = labels, tolerances_mm
        self._findings = Findings(found, labels)
        self._outlines = None if spacing_mm is None else Outlines(found, labels, spacing_mm)
        self._memberships = [labels.membership(s) for s in labels.structures]

    def of(self, i: int, j: int) -> tuple[PairTables, list[PairStatistics]]:
        """Tables of the two label maps, and a row a structure."""
        kinds = self._findings.kinds(i, j)
        joint, region = (self._joint(i, j, chosen) for chosen in (np.ones_like(self._region), self._region))
        tables = PairTables(self._names[i], self._names[j], joint, region, kinds.sum(axis=1))
        return tables, [self._structure(tables, kinds, k, i, j) for k in range(len(self._memberships))]

    def _joint(self, i: int, j: int, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        a, b = self._found.labels[i, chosen], self._found.labels[j, chosen]
        return joint_histogram(a, b, len(self._labels.values), self._found.voxels[chosen]).astype(np.int64)

    def _structure(self, tables: PairTables, kinds: NDArray[np.intp], k: int, i: int, j: int) -> PairStatistics:
        membership = self._memberships[k]
        counts = structure_counts(tables.joint, membership)
        distances = None
        if counts.first > 0 and counts.second > 0 and self._outlines is not None:
            distances = self._outlines.distances(k, i, j)
        # Not rated is as undecided as a label that leaves the structure open.
        a, b = np.append(membership, np.int8(-1))[self._found.labels[[i, j]]]
        by_class, presence, extent = (int(n) for n in kinds[:, (a != b) & (a != -1) & (b != -1)].sum(axis=1))
        return PairStatistics(
            rater_a=tables.rater_a,
            rater_b=tables.rater_b,
            structure=self._labels.structures[k],
            dice=float(dice(counts)),
            iou=float(iou(counts)),
            **_distance_figures(distances),
            surface_dice=tuple(math.nan if distances is None else distances.dice(t) for t in self._tolerances_mm),
            cohen_kappa=kappa_of_joint(structure_joint(tables.region, membership)),
            class_voxels=by_class,
            presence_voxels=presence,
            extent_voxels=extent,
            empty=int(counts.first == 0) + int(counts.second == 0),
        )


def _distance_figures(distances: SurfaceDistances | None) -> dict[str, float]:
    """Mean and 95th percentile of both directions together and of each, by the names of `PairStatistics`."""
    forth, back = (math.nan, math.nan) if distances is None else (float(d.mean()) for d in distances)
    forth_95, back_95 = (math.nan, math.nan) if distances is None else (float(np.percentile(d, 95)) for d in distances)
    return {
        "surface_mean_mm": math.nan if distances is None else distances.mean(),
        "surface_95_mm": max(forth_95, back_95),
        "surface_mean_ab_mm": forth,
        "surface_mean_ba_mm": back,
        "surface_95_ab_mm": forth_95,
        "surface_95_ba_mm": back_95,
    }
