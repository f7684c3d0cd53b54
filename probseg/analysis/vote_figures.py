"""The votes of all raters over cases: complete agreement, entropy, and agreement beyond chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.bootstrap import Interval
from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.kappa import alpha_of_coincidences, kappa_of_coincidences
from probseg.analysis.over_cases import Over

__all__ = ["VoteFigures", "vote_figures"]


@dataclass(frozen=True)
class VoteFigures:
    """The votes of all raters on one question, over all cases.

    Attributes:
        structure: name of the class or group, or `ALL_CLASSES`.
        complete_agreement: share of voxels where all votes are the same, where any rater drew it.
        rater_entropy: entropy of the votes over the declared region, nats.
        fleiss_kappa, krippendorff_alpha: over the declared region; means over cases, as the two above.
        fleiss_kappa_pooled, krippendorff_alpha_pooled: the same of the voxels of all cases together.
    """

    structure: str
    complete_agreement: Interval
    rater_entropy: Interval
    fleiss_kappa: Interval
    krippendorff_alpha: Interval
    fleiss_kappa_pooled: Interval
    krippendorff_alpha_pooled: Interval


def vote_figures(
    statistics: Sequence[CaseStatistics], structures: Sequence[str], over: Over
) -> tuple[VoteFigures, ...]:
    """Summarise the votes of every case: an entry for each of ``structures``, of which the first is all classes."""
    votes = [s.votes for s in statistics]
    names = ("complete_agreement", "rater_entropy", "fleiss_kappa", "krippendorff_alpha")
    values = np.stack([[getattr(v, name) for v in votes] for name in names], axis=1)  # (cases, figures, structures)
    means = over.means(values.reshape(len(votes), -1))
    kappas = _pooled([(v.leaf[1], v.structures[:, 1]) for v in votes], kappa_of_coincidences, over)
    alphas = _pooled([(v.leaf[0], v.structures[:, 0]) for v in votes], alpha_of_coincidences, over)
    of = [dict(zip(names, means[k :: len(structures)], strict=True)) for k in range(len(structures))]
    return tuple(
        VoteFigures(structure, **figures, fleiss_kappa_pooled=kappa, krippendorff_alpha_pooled=alpha)
        for structure, figures, kappa, alpha in zip(structures, of, kappas, alphas, strict=True)
    )


def _pooled(
    tables: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    over: Over,
) -> list[Interval]:
    """A figure of summed coincidences: of the leaf classes, then of each structure; cases without votes left out."""
    out: list[Interval] = []
    for stack in (np.stack([leaf for leaf, _ in tables])[:, None], np.stack([each for _, each in tables])):
        size = stack.shape[-1]
        flat = stack.reshape(*stack.shape[:2], size * size)
        counted = np.where(flat.sum(axis=2, keepdims=True) > 0, flat, np.nan)

        def of_sums(sums: NDArray[np.float64], size: int = size) -> NDArray[np.float64]:
            return figure(sums.reshape(*sums.shape[:-1], size, size))

        out += over.figures(counted, of_sums)
    return out
