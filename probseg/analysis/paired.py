"""Two models on the same cases: their difference, how surely it is one, and what many comparisons leave of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from probseg.analysis.bootstrap import Interval, bootstrap_mean
from probseg.errors import ProbsegError

__all__ = ["PairedDifference", "holm", "paired_difference", "sign_flip_p_value"]

_EXACT_PATIENTS = 14  # up to here every one of the 2^n flips is tried
_FLIPS = 9999


@dataclass(frozen=True)
class PairedDifference:
    """How two models differ on the cases that both have.

    Attributes:
        interval: mean of the first less the second with its 95 % interval over patients; ``n`` counts cases.
        p_value: how often chance alone would part two equal models so far; NaN with fewer than two patients.
        patients: number of patients.
        seeds: trainings of the first and of the second model that the difference is a mean over.
    """

    interval: Interval
    p_value: float
    patients: int
    seeds: tuple[int, int] = (1, 1)


def paired_difference(
    first: ArrayLike, second: ArrayLike, patients: Sequence[str] | NDArray, samples: int = 2000, seed: int = 0
) -> PairedDifference:
    """Mean difference of one figure between two models on the same cases.

    Both see the same patients, so that their difference varies far less than either figure. The interval is the BCa
    bootstrap over patients of the mean over seeds. With a single training of either model the p-value is that of
    `sign_flip_p_value` and speaks of these trained networks. With two or more trainings of both it is that of Welch's t
    of the mean difference, whose variance is that over patients plus that over the seeds of each model, and speaks of
    training anew; the interval is widened likewise.

    Args:
        first: ``(cases,)``, or ``(seeds, cases)`` of several trainings; NaN where undefined.
        second: likewise, of the same cases.
        patients: ``(cases,)``.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Cases where either model is undefined are left out; NaN and n = 0 where nothing is left.

    Raises:
        ProbsegError: E_SHAPE_MISMATCH where the cases differ in number.
    """
    a, b = (np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (first, second))
    if not a.shape[1] == b.shape[1] == len(patients):
        raise ProbsegError(
            "E_SHAPE_MISMATCH",
            f"two models are compared on the same cases, but they have {a.shape[1]} and {b.shape[1]}, of "
            f"{len(patients)} patients' names",
        )
    known = ~(np.isnan(a).any(axis=0) | np.isnan(b).any(axis=0))
    a, b, names = a[:, known], b[:, known], np.asarray(patients)[known]
    seeds, people = (len(a), len(b)), len(set(names.tolist()))
    if not len(names):
        return PairedDifference(Interval(math.nan, math.nan, math.nan, 0), math.nan, 0, seeds)
    gap = a.mean(axis=0) - b.mean(axis=0)
    interval = bootstrap_mean(gap, names, samples, seed, "bca")
    if min(seeds) < 2 or people < 2:
        return PairedDifference(interval, sign_flip_p_value(gap, names, seed), people, seeds)
    parts = _variances(a, b, gap, names)
    wider, p_value = _welch(interval, parts)
    return PairedDifference(wider, p_value, people, seeds)


def _variances(
    a: NDArray[np.float64], b: NDArray[np.float64], gap: NDArray[np.float64], patients: NDArray
) -> list[tuple[float, int]]:
    """Variance of the mean difference and degrees of freedom: over patients, over the seeds of a, of b."""
    sums = _patient_sums(gap - gap.mean(), patients)
    over_patients = float((sums**2).sum()) / len(gap) ** 2 * len(sums) / (len(sums) - 1)
    seeds = [(float(x.mean(axis=1).var(ddof=1)) / len(x), len(x) - 1) for x in (a, b)]
    return [(over_patients, len(sums) - 1), *seeds]


def _welch(interval: Interval, parts: Sequence[tuple[float, int]]) -> tuple[Interval, float]:
    variance = sum(v for v, _ in parts)
    if variance == 0:
        return interval, float(interval.value == 0)
    freedom = variance**2 / sum(v**2 / df for v, df in parts)  # Satterthwaite
    p_value = float(2 * stats.t.sf(abs(interval.value) / math.sqrt(variance), freedom))
    extra = math.sqrt(variance / parts[0][0]) if parts[0][0] > 0 else 1.0
    extra *= float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))
    low, high = (interval.value + (end - interval.value) * extra for end in (interval.low, interval.high))
    return Interval(interval.value, low, high, interval.n), p_value


def _patient_sums(values: NDArray[np.float64], patients: NDArray) -> NDArray[np.float64]:
    _, which = np.unique(patients, return_inverse=True)
    return np.asarray(np.bincount(which, values), dtype=np.float64)


def sign_flip_p_value(differences: ArrayLike, patients: Sequence[str] | NDArray, seed: int = 0) -> float:
    """Two-sided p-value that two models are alike, by exchanging them patient by patient.

    If they are, each patient's difference is as likely to have the other sign. All ``2^n`` exchanges are tried for up
    to 14 patients, else 9,999 at random, with the one that was observed counted among them (Phipson and Smyth 2010,
    doi:10.2202/1544-6115.1585).

    Args:
        differences: ``(cases,)`` without NaN.
        patients: ``(cases,)``.
        seed: of the random exchanges.

    Returns:
        0 to 1; NaN with fewer than two patients.

    Example:
        >>> sign_flip_p_value([1.0, 2.0, 3.0], ["a", "b", "c"])
        0.25
    """
    sums = _patient_sums(np.asarray(differences, dtype=np.float64), np.asarray(patients))
    if len(sums) < 2:
        return math.nan
    exact = len(sums) <= _EXACT_PATIENTS
    if exact:
        bits = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1
        signs = 1.0 - 2.0 * bits
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(_FLIPS, len(sums)))
    observed = abs(float(sums.sum()))
    speck = 1e-12 * float(np.abs(sums).sum())  # sums in another order differ by so much
    extreme = int((np.abs(signs @ sums) >= observed - speck).sum())
    return extreme / len(signs) if exact else (extreme + 1) / (len(signs) + 1)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values corrected for being several: the chance that any of them is that small by chance (Holm 1979).

    The k-th smallest of m is multiplied by ``m - k + 1`` and is never below the ones before it. NaN is no comparison:
    it stays NaN and does not count.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1.0) if len(order) else scaled
    return out
