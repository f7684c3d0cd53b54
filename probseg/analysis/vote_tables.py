"""The votes of all raters of a case as small tables of counts, from which every figure of many raters follows.

Counts of cases add up, so a figure over cases may be the mean of the cases' figures or the figure of the summed counts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.entropy import entropy_of_counts, votes
from probseg.analysis.kappa import alpha_of_coincidences, coincidences, kappa_of_coincidences
from probseg.labels import LabelSet

__all__ = ["VoteTables", "vote_tables"]


@dataclass(frozen=True, eq=False)
class VoteTables:
    """What raters voted, counted. Entry 0 of a row is the leaf classes together, entry 1 + k structure number k.

    A structure is a question of yes or no; a label that leaves it open is no vote on it, and a label that names no one
    leaf class is no vote on the leaf classes. Only voxels with two votes or more are counted anywhere.

    Attributes:
        union_voxels: ``(1 + structures,)`` voxels that some rater drew: any foreground, or the structure.
        agreed_voxels: of these, voxels where all votes are the same.
        region_voxels: ``(1 + structures,)`` voxels of the declared region.
        entropy_sum: entropy of the votes summed over the region, nats.
        leaf: ``(2, C, C)`` coincidences of votes in the region (`probseg.analysis.kappa.coincidences`); first of all
            voxels, for Krippendorff's alpha, then of those where every rater of the case voted, for Fleiss' kappa.
        structures: ``(structures, 2, 2, 2)`` the same of each structure, outside first.
    """

    union_voxels: NDArray[np.int64]
    agreed_voxels: NDArray[np.int64]
    region_voxels: NDArray[np.int64]
    entropy_sum: NDArray[np.float64]
    leaf: NDArray[np.float64]
    structures: NDArray[np.float64]

    def __add__(self, other: VoteTables) -> VoteTables:
        return VoteTables(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def complete_agreement(self) -> NDArray[np.float64]:
        """``(1 + structures,)`` share of the union where all votes are the same, 0..1; NaN for an empty union."""
        return _share(self.agreed_voxels, self.union_voxels)

    @property
    def rater_entropy(self) -> NDArray[np.float64]:
        """``(1 + structures,)`` mean entropy of the votes over the region, nats; NaN for an empty region."""
        return _share(self.entropy_sum, self.region_voxels)

    @property
    def fleiss_kappa(self) -> NDArray[np.float64]:
        """``(1 + structures,)``; NaN where undefined."""
        return np.append(kappa_of_coincidences(self.leaf[1]), kappa_of_coincidences(self.structures[:, 1]))

    @property
    def krippendorff_alpha(self) -> NDArray[np.float64]:
        """``(1 + structures,)``; NaN where undefined."""
        return np.append(alpha_of_coincidences(self.leaf[0]), alpha_of_coincidences(self.structures[:, 0]))


def vote_tables(raters: NDArray[np.intp], voxels: NDArray[np.intp], region: NDArray, labels: LabelSet) -> VoteTables:
    """Count the votes of one case.

    Args:
        raters: ``(raters, combinations)`` labels that occur together; beyond the label set is not rated.
        voxels: ``(combinations,)`` how many voxels have each.
        region: ``(combinations,)`` booleans, which of them lie in the declared region.
        labels: the label set.
    """
    questions = [votes(raters, labels.num_classes)]
    for name in labels.structures:
        member = np.append(labels.membership(name), -1)[raters]
        questions.append(np.stack([(member == answer).sum(axis=0) for answer in (0, 1)]))
    rows, tables = [], []
    for counts in questions:
        total = counts.sum(axis=0)
        heard = total >= 2
        union, inside = heard & (counts[1:].sum(axis=0) > 0), heard & region
        agreed = union & (counts.max(axis=0) == total)
        entropy = entropy_of_counts(counts)[inside] @ voxels[inside]
        rows.append((voxels[union].sum(), voxels[agreed].sum(), voxels[inside].sum(), entropy))
        everyone = inside & (total == len(raters))
        tables.append(np.stack([coincidences(counts[:, chosen].T, voxels[chosen]) for chosen in (inside, everyone)]))
    counts = np.array([row[:3] for row in rows], dtype=np.int64).T
    entropies = np.array([row[3] for row in rows], dtype=np.float64)
    return VoteTables(counts[0], counts[1], counts[2], entropies, tables[0], np.stack(tables[1:]))


def _share(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
