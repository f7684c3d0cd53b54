"""Whether what a model is least sure of is what it gets most wrong: risk against coverage.

With the surest k of n taken, coverage is k/n and the selective risk their mean risk. All areas use one quadrature, the
mean over k = 1..n, and tied scores stand for every order of them alike, so that areas of counts are exact as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from probseg.analysis.detection import ranked

__all__ = ["RiskCoverage", "area_of_counts", "generalised_area_of_counts", "risk_coverage", "risk_coverage_of_errors"]


@dataclass(frozen=True)
class RiskCoverage:
    """Areas of one score; NaN where nothing counts.

    Attributes:
        aurc: mean selective risk (Geifman, Uziel and El-Yaniv 2019, arXiv:1805.08206).
        optimum: the same in the order of the risk itself, which no score can better.
        excess: the one less the other; 0 for a perfect order.
        augrc: mean of selective risk times coverage, the risk of a silent failure (Traub et al. 2024,
            arXiv:2407.01032); a score that tells nothing has half the mean risk.
        risk: mean risk of everything, which is the AURC of a score that tells nothing.
    """

    aurc: float
    optimum: float
    excess: float
    augrc: float
    risk: float


def area_of_counts(total: NDArray, risk: NDArray) -> NDArray[np.float64]:
    """AURC of bins ``(..., bins)`` from sure to unsure: ``(...)``, NaN where nothing counts.

    With A counted and R their risk before a bin of n and mean risk m, the expected risk of the surest k is
    ``(R + (k - A) m) / k``; over the bin these sum to ``n m + (R - A m) (H(A + n) - H(A))``, H the harmonic numbers.

    Args:
        total: how many there are in each bin; they need not be whole, so that a bootstrap may weigh.
        risk: their summed risk.
    """
    total, risk = np.asarray(total, dtype=np.float64), np.asarray(risk, dtype=np.float64)
    end = np.cumsum(total, axis=-1)
    start = end - total
    mean = np.divide(risk, total, out=np.zeros(total.shape), where=total > 0)
    before = np.cumsum(risk, axis=-1) - risk
    harmonic = digamma(end + 1) - digamma(start + 1)
    area = (risk + (before - start * mean) * harmonic).sum(axis=-1)
    n = np.asarray(end[..., -1] if end.shape[-1] else np.zeros(end.shape[:-1]))
    return np.divide(area, n, out=np.full(n.shape, np.nan), where=n > 0)


def generalised_area_of_counts(total: NDArray, risk: NDArray) -> NDArray[np.float64]:
    """AUGRC of bins from sure to unsure, arguments and result as for `area_of_counts`: mean over k of risk sum / n."""
    total, risk = np.asarray(total, dtype=np.float64), np.asarray(risk, dtype=np.float64)
    before = np.cumsum(risk, axis=-1) - risk
    n = np.asarray(total.sum(axis=-1))
    area = (total * before + risk * (total + 1) / 2).sum(axis=-1)
    return np.divide(area, n**2, out=np.full(n.shape, np.nan), where=n > 0)


def risk_coverage(uncertainty: ArrayLike, risk: ArrayLike, weights: ArrayLike | None = None) -> RiskCoverage:
    """Areas of cases.

    Args:
        uncertainty: ``(cases,)``, higher is less sure; a case where it or the risk is NaN is left out.
        risk: ``(cases,)``, for example 1 - Dice.
        weights: ``(cases,)`` how often each counts; None for once.

    Example:
        >>> risk_coverage([0.1, 0.2, 0.3], [0.0, 0.3, 0.6]).excess
        0.0
    """
    u, r = np.asarray(uncertainty, dtype=np.float64), np.asarray(risk, dtype=np.float64)
    found = ranked(u, r, weights)
    best = ranked(np.where(np.isnan(u), math.nan, r), r, weights)
    return _areas((found.total, found.positive), (best.total, best.positive))


def risk_coverage_of_errors(right: NDArray, wrong: NDArray) -> RiskCoverage:
    """Areas of many trials that are right or wrong, such as voxels: ``(bins,)`` counts from sure to unsure."""
    right, wrong = np.asarray(right, dtype=np.float64), np.asarray(wrong, dtype=np.float64)
    best = (np.array([right.sum(), wrong.sum()]), np.array([0.0, wrong.sum()]))
    return _areas((right + wrong, wrong), best)


def _areas(own: tuple[NDArray, NDArray], best: tuple[NDArray, NDArray]) -> RiskCoverage:
    aurc, optimum = float(area_of_counts(*own)), float(area_of_counts(*best))
    n = float(own[0].sum())
    risk = float(own[1].sum()) / n if n else math.nan
    return RiskCoverage(
        aurc, optimum, max(aurc - optimum, 0.0) if n else math.nan, float(generalised_area_of_counts(*own)), risk
    )
