"""The volumes that every party drew in every case, in mL and in percent of the lung, and how well they agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.case_agreement import PREDICTION, CaseStatistics
from probseg.analysis.known import mean_known
from probseg.analysis.volume_agreement import BlandAltman, IntraclassCorrelation, bland_altman, icc
from probseg.analysis.volumes import lung_parts, structure_voxels
from probseg.labels import LabelSet

__all__ = [
    "AERATED",
    "MEAN_RATER",
    "DrawnVolumes",
    "VolumeCorrelation",
    "VolumePair",
    "drawn_volumes",
    "volume_correlations",
    "volume_pairs",
]

AERATED = "well_aerated_lung"
"""A row of its own in tables of volumes: lung without opacity; its percent of the lung is percent well-aerated lung."""

MEAN_RATER = "mean of raters"
"""With whom a prediction is compared where no rater has a name: the raters' mean volume in each case."""


@dataclass(frozen=True, eq=False)
class DrawnVolumes:
    """Volumes of every case, party and structure; NaN where a party did not look at the whole image.

    Attributes:
        case_ids, patients, sites: of the cases, in order.
        parties: every rater's name, sorted, then the prediction if there is one.
        structures: classes and groups of the label set, then `AERATED` where lung and opacity are labelled.
        voxels: ``(cases, parties, structures)``.
        voxel_ml: ``(cases,)`` volume of one voxel; NaN where unknown.
        lung_voxels: ``(cases, parties)`` what percentages are of; NaN where lung is not labelled.
        present: ``(cases, parties)`` booleans, who read each case.
    """

    case_ids: tuple[str, ...]
    patients: tuple[str, ...]
    sites: tuple[str, ...]
    parties: tuple[str, ...]
    structures: tuple[str, ...]
    voxels: NDArray[np.float64]
    voxel_ml: NDArray[np.float64]
    lung_voxels: NDArray[np.float64]
    present: NDArray[np.bool_]

    @property
    def raters(self) -> tuple[str, ...]:
        """The parties without the prediction."""
        return tuple(p for p in self.parties if p != PREDICTION)

    @property
    def ml(self) -> NDArray[np.float64]:
        """``(cases, parties, structures)`` mL."""
        return self.voxels * self.voxel_ml[:, None, None]

    @property
    def percent_of_lung(self) -> NDArray[np.float64]:
        """``(cases, parties, structures)``, each party's volume of its own lung; NaN where lung is not labelled."""
        lung = np.where(self.lung_voxels > 0, self.lung_voxels, np.nan)
        return 100.0 * self.voxels / lung[:, :, None]

    def measures(self) -> dict[str, NDArray[np.float64]]:
        """What is known of ``volume_ml`` and ``percent_of_lung``, each ``(cases, parties, structures)``."""
        found = {"volume_ml": self.ml, "percent_of_lung": self.percent_of_lung}
        return {name: values for name, values in found.items() if not np.isnan(values).all()}


def drawn_volumes(statistics: Sequence[CaseStatistics], labels: LabelSet) -> DrawnVolumes:
    """Count what every party drew of every structure.

    A party who did not rate a part of the image, or gave labels that leave a structure open, has no volume of it.

    Args:
        statistics: of the cases.
        labels: the label set.
    """
    lung = lung_parts(labels)
    members = [labels.membership(name) for name in labels.structures]
    structures = list(labels.structures)
    if lung is not None and lung.aerated is not None:
        members.append(labels.membership_of(lung.aerated))
        structures.append(AERATED)
    raters = sorted({r for s in statistics for r in s.raters})
    parties = [*raters, *([PREDICTION] if any(s.predicted for s in statistics) else [])]
    voxels = np.full((len(statistics), len(parties), len(structures)), np.nan)
    whole, present = np.full(voxels.shape[:2], np.nan), np.zeros(voxels.shape[:2], dtype=bool)
    for i, case in enumerate(statistics):
        for row, party in zip(case.patterns.labels, case.parties, strict=True):
            counts = np.bincount(row, case.patterns.voxels, len(labels.values) + 1)
            complete, place = counts[-1] == 0, parties.index(party)
            present[i, place] = True
            voxels[i, place] = [structure_voxels(counts[:-1], m, complete) for m in members]
            if lung is not None:
                whole[i, place] = structure_voxels(counts[:-1], labels.membership_of(lung.whole), complete)
    return DrawnVolumes(
        tuple(s.case_id for s in statistics),
        tuple(s.patient_id for s in statistics),
        tuple(s.site for s in statistics),
        tuple(parties),
        tuple(structures),
        voxels,
        np.array([s.voxel_volume_ml for s in statistics], dtype=np.float64),
        whole,
        present,
    )


@dataclass(frozen=True)
class VolumeCorrelation:
    """Intraclass correlations of the raters' volumes of one structure, over cases that all of them read.

    Attributes:
        structure: name of the class or group.
        measure: ``volume_ml`` or ``percent_of_lung``.
        one_way: ICC(1,1), which needs no identities.
        absolute, consistency: ICC(2,1) and ICC(3,1); None where raters have no stable identity.
    """

    structure: str
    measure: str
    one_way: IntraclassCorrelation
    absolute: IntraclassCorrelation | None
    consistency: IntraclassCorrelation | None


def volume_correlations(volumes: DrawnVolumes, stable: bool) -> tuple[VolumeCorrelation, ...]:
    """ICC of every structure and measure.

    Without stable identities the volumes of a case are moved to the first columns: a gap has then no place, and only
    ICC(1,1), over the cases with as many readings as any, has a meaning.
    """
    columns = [volumes.parties.index(r) for r in volumes.raters]
    out = []
    for measure, values in volumes.measures().items():
        for k, structure in enumerate(volumes.structures):
            table = values[:, columns, k]
            if np.isnan(table).all():
                continue
            once = icc(_without_gaps(table), "1,1")
            two = (icc(table, "2,1"), icc(table, "3,1")) if stable else (None, None)
            out.append(VolumeCorrelation(structure, measure, once, *two))
    return tuple(out)


def _without_gaps(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows with their gaps last, cut to the longest row."""
    order = np.argsort(np.isnan(table), axis=1, kind="stable")
    width = int((~np.isnan(table)).sum(axis=1).max(initial=0))
    return np.take_along_axis(table, order, axis=1)[:, :width]


@dataclass(frozen=True)
class VolumePair:
    """Two parties' volumes of one structure over cases.

    Attributes:
        structure, measure: as in `VolumeCorrelation`.
        party_a, party_b: raters, or the prediction and a rater, or the prediction and `MEAN_RATER`.
        agreement: Bland-Altman of a against b.
    """

    structure: str
    measure: str
    party_a: str
    party_b: str
    agreement: BlandAltman


def volume_pairs(volumes: DrawnVolumes, stable: bool) -> tuple[VolumePair, ...]:
    """Bland-Altman of every two parties, every structure and measure.

    Without stable identities no rater is compared by name: what is left is the prediction against the raters' mean.
    """
    named = list(combinations(volumes.raters, 2)) if stable else []
    if PREDICTION in volumes.parties:
        named += [(PREDICTION, r) for r in volumes.raters] if stable else []
        named.append((PREDICTION, MEAN_RATER))
    out = []
    for measure, values in volumes.measures().items():
        by_party = {p: values[:, i] for i, p in enumerate(volumes.parties)}
        by_party[MEAN_RATER] = mean_known(np.stack([by_party[r] for r in volumes.raters]))
        for a, b in named:
            for k, structure in enumerate(volumes.structures):
                found = bland_altman(by_party[a][:, k], by_party[b][:, k])
                if not math.isnan(found.bias):
                    out.append(VolumePair(structure, measure, a, b, found))
    return tuple(out)
