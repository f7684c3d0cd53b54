"""Which class one rater calls what another calls by its name or another's, over cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.case_agreement import CaseStatistics

__all__ = ["Confusion", "confusions"]


@dataclass(frozen=True, eq=False)
class Confusion:
    """What one rater calls what another calls so, over all cases that both rated.

    Attributes:
        rater_a, rater_b: names, or None for any two raters, each way round, where a name is not a person.
        voxels: ``(labels, labels)`` that a calls i and b calls j, wherever both looked.
    """

    rater_a: str | None
    rater_b: str | None
    voxels: NDArray[np.int64]


def confusions(statistics: Sequence[CaseStatistics], stable: bool) -> tuple[Confusion, ...]:
    """Sum the joint tables of every pair, names sorted; of all pairs together where names are not persons."""
    tables = [t for s in statistics for t in s.pair_tables]
    if not tables:
        return ()
    if not stable:
        return (Confusion(None, None, np.sum([t.joint + t.joint.T for t in tables], axis=0)),)
    sums: dict[tuple[str, str], NDArray[np.int64]] = {}
    for t in tables:
        a, b, joint = (t.rater_a, t.rater_b, t.joint) if t.rater_a < t.rater_b else (t.rater_b, t.rater_a, t.joint.T)
        sums[a, b] = sums.get((a, b), 0) + joint
    return tuple(Confusion(a, b, sums[a, b]) for a, b in sorted(sums))
