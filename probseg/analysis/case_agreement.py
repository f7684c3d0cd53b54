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

from probseg.analysis.pair_agreement import PairComparison, PairStatistics, PairTables
from probseg.analysis.patterns import DrawnPatterns, PatternTable, drawn_patterns
from probseg.analysis.region import combination_region
from probseg.analysis.volumes import structure_voxels
from probseg.analysis.vote_tables import VoteTables, vote_tables
from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.labels import LabelSet

__all__ = ["PREDICTION", "TOLERANCES_MM", "CaseStatistics", "PairStatistics", "PairTables", "case_statistics"]

PREDICTION = "prediction"
TOLERANCES_MM = (1.0, 2.0, 3.0)


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
        identical: pairs of raters whose masks are the same, and not empty, where both looked.
        different: pairs of raters whose masks differ there.
        repeats: of each person who read the case more than once the statistics of these readings alone, the first
            under the person's name, as if by several raters (`probseg.analysis.repeats`).
        predicted_entropy_voxels: entropy of the prediction summed over the voxels, nats; NaN where unknown.
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
    predicted_entropy_voxels: float = math.nan

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
    raters = tuple(r for r in case.masks if r not in case.rated or case.rated[r].any())
    names = raters if prediction is None else (*raters, PREDICTION)
    n, unrated = len(raters), len(labels.values)
    found = drawn_patterns(_stacked(case, raters, prediction), unrated, _rated(case, raters, prediction))
    own, voxels = found.labels[:n], found.voxels
    region_of = combination_region(own, labels, region)
    compare = PairComparison(names, found, region_of, labels, case.geometry.spacing, tolerances_mm)
    looked = found.labels < unrated
    together = [(i, j) for i, j in combinations(range(len(names)), 2) if (looked[i] & looked[j]).any()]
    two, against = ([compare.of(i, j) for i, j in together if (j < n) == among] for among in (True, False))
    identical, different = _copies(own, looked, [(i, j) for i, j in together if j < n])
    return CaseStatistics(
        case_id=case.case_id,
        patient_id=case.patient_id,
        site=case.site,
        raters=raters,
        predicted=prediction is not None,
        patterns=PatternTable(found.labels, voxels),
        votes=vote_tables(own, voxels, region_of, labels),
        pairs=tuple(row for _, rows in two for row in rows),
        pair_tables=tuple(tables for tables, _ in two),
        prediction_pairs=tuple(row for _, rows in against for row in rows),
        prediction_tables=tuple(tables for tables, _ in against),
        undecided_voxels=int(((own >= labels.num_classes) & looked[:n]).sum(axis=0) @ voxels),
        sizes_voxels=_sizes(raters, found, labels),
        voxel_volume_ml=case.geometry.voxel_volume_ml,
        identical=tuple((raters[i], raters[j]) for i, j in identical),
        different=tuple((raters[i], raters[j]) for i, j in different),
    )


def _stacked(case: Case, raters: Sequence[str], prediction: NDArray | None) -> NDArray:
    """``(parties, *space)`` masks of the raters and, last, the prediction."""
    masks = np.zeros((len(raters) + (prediction is not None), *case.geometry.shape), dtype=np.uint8)
    for k, rater in enumerate(raters):
        masks[k] = case.masks[rater]
    if prediction is None:
        return masks
    if prediction.shape != case.geometry.shape:
        raise ProbsegError(
            "E_SHAPE_MISMATCH",
            f"the prediction of case '{case.case_id}' has shape {prediction.shape} but the image has "
            f"{case.geometry.shape}; resample it to the image grid first",
        )
    masks[-1] = prediction
    return masks


def _rated(case: Case, raters: Sequence[str], prediction: NDArray | None) -> NDArray[np.bool_] | None:
    """``(parties, *space)`` booleans; None where everybody looked everywhere, as is usual."""
    if all(case.rated[r].all() for r in raters if r in case.rated):
        return None
    everywhere = [np.ones((1, *case.geometry.shape), dtype=bool)] * (prediction is not None)
    return np.concatenate([np.stack([case.rated_by(r) for r in raters]), *everywhere])


def _copies(
    labels: NDArray[np.intp], looked: NDArray[np.bool_], pairs: Sequence[tuple[int, int]]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs who drew the same and not nothing, and pairs who differ, where both looked."""
    identical, different = [], []
    for i, j in pairs:
        both = looked[i] & looked[j]
        if (labels[i, both] != labels[j, both]).any():
            different.append((i, j))
        elif labels[i, both].any():
            identical.append((i, j))
    return identical, different


def _sizes(raters: Sequence[str], found: DrawnPatterns, labels: LabelSet) -> dict[str, tuple[float, ...]]:
    out = {}
    for k, name in enumerate(raters):
        counts = np.bincount(found.labels[k], found.voxels, minlength=len(labels.values) + 1)
        complete = counts[-1] == 0
        out[name] = tuple(structure_voxels(counts[:-1], labels.membership(s), complete) for s in labels.structures)
    return out
