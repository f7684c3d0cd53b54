"""What each pair of raters, and each rater, adds to the kappa and Dice of a case, and how sure that makes it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.region import combination_region
from probseg.labels import LabelSet

__all__ = ["Readings", "dice_of_pairs", "kappa_of_pairs", "mean_known"]


def kappa_of_pairs(
    case: CaseStatistics, labels: LabelSet, region: str = "union"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fleiss' kappa ``(1 + structures,)``, and ``(1 + structures, raters, raters)`` what each pair adds to it.

    ``kappa = (Po - Pe) / (1 - Pe)``, with ``Po`` the mean over pairs of how often they agree and ``Pe`` the mean over
    pairs of the products of their usage of the classes; in first order, about kappa, a pair r, s adds
    ``(A_rs - Po) / (1 - Pe) - (1 - Po) / (1 - Pe)^2 (p_r p_s - Pe)``. The region stays as all raters declare it.
    """
    own, voxels = case.patterns.labels[: len(case.raters)], case.patterns.voxels
    inside = combination_region(own, labels, region)
    answers = [np.where(own < labels.num_classes, own, -1)]
    answers += [np.append(labels.membership(s), -1)[own] for s in labels.structures]
    pairs = [_in_first_order(answer[:, inside], voxels[inside]) for answer in answers]
    return case.votes.fleiss_kappa, np.array(pairs)


def _in_first_order(answers: NDArray[np.intp], voxels: NDArray[np.intp]) -> NDArray[np.float64]:
    """``(raters, raters)`` from ``(raters, combinations)`` answers, -1 for none; NaN where kappa is undefined."""
    heard = (answers >= 0).all(axis=0)
    answers, weight = answers[:, heard], voxels[heard] / max(int(voxels[heard].sum()), 1)
    classes = np.unique(answers)
    votes = (answers[:, None] == classes[:, None]).astype(np.float64)  # (raters, classes, combinations)
    num = len(answers)
    if num < 2 or len(classes) < 2:
        return np.full((num, num), np.nan)
    agreement = np.einsum("rcv,v,scv->rs", votes, weight, votes, optimize=True)
    usage = votes @ weight
    together = usage @ usage.T
    other = ~np.eye(num, dtype=bool)
    observed, expected = float(agreement[other].mean()), float((usage.mean(axis=0) ** 2).sum())
    rest = 1.0 - expected
    return (agreement - observed) / rest - (1.0 - observed) / rest**2 * (together - expected)


def dice_of_pairs(
    case: CaseStatistics, labels: LabelSet, region: str = "union"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean Dice over pairs ``(structures,)``, and ``(structures, raters, raters)`` of each pair; in no region."""
    num, column = len(case.raters), {s: k for k, s in enumerate(labels.structures)}
    pairs = np.full((len(column), num, num), np.nan)
    for pair in case.pairs:
        a, b = case.raters.index(pair.rater_a), case.raters.index(pair.rater_b)
        pairs[column[pair.structure], a, b] = pairs[column[pair.structure], b, a] = pair.dice
    return mean_known(pairs.reshape(len(column), num * num).T), pairs


class Readings(NamedTuple):
    """What the raters of one case add to its figure.

    Attributes:
        pseudo: ``(raters,)`` jackknife pseudo-values ``m f - (m - 1) f(without r)``; NaN for fewer than three.
        within: variance of the figure by its raters, given the case; NaN for fewer than three.
    """

    pseudo: NDArray[np.float64]
    within: float

    @classmethod
    def of(cls, pairs: NDArray[np.float64]) -> Readings:
        """From ``(raters, raters)``, symmetric, of which the diagonal says nothing."""
        num = len(pairs)
        other = ~np.eye(num, dtype=bool)
        if num < 3 or np.isnan(pairs[other]).any():
            return cls(np.full(num, np.nan), math.nan)
        a = np.where(other, pairs, 0.0)
        rows, total = a.sum(axis=1), float(a.sum()) / 2
        mean = total / (num * (num - 1) / 2)
        without = (total - rows) / ((num - 1) * (num - 2) / 2)
        pseudo = num * mean - (num - 1) * without
        if num == 3:
            return cls(pseudo, float(pseudo.var(ddof=1)) / num)
        squares = (a**2).sum(axis=1)
        # of all products of two pairs, those that share no rater
        apart = total**2 - squares.sum() / 2 - (rows**2 - squares).sum()
        couples = num * (num - 1) / 2
        count = couples**2 - couples - num * (num - 1) * (num - 2)
        return cls(pseudo, mean**2 - float(apart) / count)


def mean_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the first axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    return np.divide(np.where(known, values, 0.0).sum(axis=0), count, out=np.full(count.shape, np.nan), where=count > 0)
