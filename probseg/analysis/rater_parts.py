"""What each pair of raters, and each rater, adds to the kappa and Dice of a case, and how sure that makes it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.known import mean_known
from probseg.analysis.region import combination_region
from probseg.analysis.vote_tables import vote_tables
from probseg.labels import LabelSet

__all__ = ["Parts", "Readings", "dice_parts", "kappa_parts"]


class Parts(NamedTuple):
    """A figure of one case, for several structures, and what it is made of.

    Attributes:
        whole: ``(structures,)`` the figure.
        without: ``(raters, structures)`` the figure without each rater; NaN for fewer than three.
        pairs: ``(structures, raters, raters)`` what each pair adds, in first order; NaN where undefined.
    """

    whole: NDArray[np.float64]
    without: NDArray[np.float64]
    pairs: NDArray[np.float64]


def kappa_parts(case: CaseStatistics, labels: LabelSet, region: str = "union") -> Parts:
    """Fleiss' kappa of all classes together and of every structure.

    Those who are left declare the region where one is left out. ``kappa = (Po - Pe) / (1 - Pe)``, with ``Po`` the mean
    over pairs of how often they agree and ``Pe`` the mean over pairs of the products of their usage of the classes; in
    first order, about kappa, a pair r, s adds ``(A_rs - Po) / (1 - Pe) - (1 - Po) / (1 - Pe)^2 (p_r p_s - Pe)``, over
    the region that all declare.
    """
    own, voxels = case.patterns.labels[: len(case.raters)], case.patterns.voxels
    num, inside = len(own), combination_region(own, labels, region)
    answers = [np.where(own < labels.num_classes, own, -1)]
    answers += [np.append(labels.membership(s), -1)[own] for s in labels.structures]
    pairs = np.array([_in_first_order(answer[:, inside], voxels[inside]) for answer in answers])
    without = np.full((num, len(answers)), np.nan)
    for r in range(num if num > 2 else 0):
        rest = np.delete(own, r, axis=0)
        without[r] = vote_tables(rest, voxels, combination_region(rest, labels, region), labels).fleiss_kappa
    return Parts(case.votes.fleiss_kappa, without, pairs)


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


def dice_parts(case: CaseStatistics, labels: LabelSet, region: str = "union") -> Parts:
    """Mean Dice over pairs of every structure, which has nothing to do with a region."""
    num, column = len(case.raters), {s: k for k, s in enumerate(labels.structures)}
    pairs = np.full((len(column), num, num), np.nan)
    for pair in case.pairs:
        a, b = case.raters.index(pair.rater_a), case.raters.index(pair.rater_b)
        pairs[column[pair.structure], a, b] = pairs[column[pair.structure], b, a] = pair.dice
    kept = [np.delete(np.delete(pairs, r, axis=1), r, axis=2).reshape(len(column), -1).T for r in range(num)]
    without = [mean_known(k) if num > 2 else np.full(len(column), np.nan) for k in kept]
    whole = mean_known(pairs.reshape(len(column), num * num).T)
    return Parts(whole, np.array(without).reshape(num, len(column)), pairs)


class Readings(NamedTuple):
    """What the raters of one case add to its figure.

    Attributes:
        pseudo: ``(raters,)`` jackknife pseudo-values ``m f - (m - 1) f(without r)``; NaN for fewer than three.
        jackknife: their variance over m, which is that of the figure given the case if each rater adds a part, and
            more if pairs have parts of their own.
        of_pairs: the same from what pairs add in first order, and without that fault: two pairs that share nobody are
            independent given the case. NaN for fewer than four.
    """

    pseudo: NDArray[np.float64]
    jackknife: float
    of_pairs: tuple[float, float]

    @classmethod
    def of(cls, parts: Parts, k: int) -> Readings:
        """Of structure number k."""
        num, nothing = len(parts.without), (math.nan, math.nan)
        pseudo = num * parts.whole[k] - (num - 1) * parts.without[:, k]
        if num < 3 or np.isnan(pseudo).any():
            return cls(np.full(num, np.nan), math.nan, nothing)
        pairs, other = parts.pairs[k], ~np.eye(num, dtype=bool)
        known = num > 3 and not np.isnan(pairs[other]).any()
        of_pairs = _of_pairs(np.where(other, pairs, 0.0)) if known else nothing
        return cls(pseudo, float(pseudo.var(ddof=1)) / num, of_pairs)


def _of_pairs(a: NDArray[np.float64]) -> tuple[float, float]:
    """Jackknife and unbiased variance of the mean over pairs; ``a`` is symmetric with a diagonal of 0."""
    num, rows, total = len(a), a.sum(axis=1), float(a.sum()) / 2
    couples = num * (num - 1) / 2
    without = (total - rows) / (couples - num + 1)
    squares = (a**2).sum(axis=1)
    # of all products of two pairs, those that share no rater
    apart = float(total**2 - squares.sum() / 2 - (rows**2 - squares).sum())
    count = couples**2 - couples - num * (num - 1) * (num - 2)
    return (num - 1) ** 2 * float(without.var(ddof=1)) / num, (total / couples) ** 2 - apart / count
