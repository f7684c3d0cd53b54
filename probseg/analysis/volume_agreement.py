"""How well raters agree on volumes, over cases: Bland-Altman limits and intraclass correlation."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from probseg.errors import ProbsegError

__all__ = ["BlandAltman", "IntraclassCorrelation", "bland_altman", "icc"]


class BlandAltman(NamedTuple):
    """Bias of a against b and the limits between which 95 % of the differences lie, in the unit of both."""

    bias: float
    low: float
    high: float
    n: int


class IntraclassCorrelation(NamedTuple):
    """Intraclass correlation with its 95 % interval and the number of cases."""

    value: float
    low: float
    high: float
    n: int


def bland_altman(a: ArrayLike, b: ArrayLike) -> BlandAltman:
    """Mean difference ``a - b`` over cases and the 95 % limits of agreement, bias plus and minus 1.96 SD.

    Bland and Altman (1986), doi:10.1016/S0140-6736(86)90837-8.

    Args:
        a: ``(cases,)``, for example volumes in mL by one rater.
        b: ``(cases,)`` by another. A case with a NaN in either is left out.

    Returns:
        NaN limits for fewer than two cases, NaN bias for none.
    """
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    difference = difference[~np.isnan(difference)]
    n = len(difference)
    bias = float(difference.mean()) if n else math.nan
    spread = 1.96 * float(difference.std(ddof=1)) if n > 1 else math.nan
    return BlandAltman(bias, bias - spread, bias + spread, n)


def icc(volumes: NDArray, kind: Literal["2,1", "3,1"] = "2,1") -> IntraclassCorrelation:
    """Share of the variance of volumes that lies between cases and not between raters; 1 is complete agreement.

    Shrout and Fleiss (1979), doi:10.1037/0033-2909.86.2.420; intervals by McGraw and Wong (1996),
    doi:10.1037/1082-989X.1.1.30.

    Args:
        volumes: ``(cases, raters)``; a case with a NaN is left out.
        kind: ``2,1`` absolute agreement of single raters drawn at random: a rater's constant bias counts against it;
            ``3,1`` consistency of these very raters: it does not.

    Returns:
        NaN for fewer than two cases or raters, or where nothing varies.

    Raises:
        ProbsegError: E_ARGUMENT for another kind.
    """
    if kind not in ("2,1", "3,1"):
        raise ProbsegError("E_ARGUMENT", f"kind of icc must be '2,1' or '3,1', but is {kind!r}")
    table = np.asarray(volumes, dtype=np.float64)
    table = table[~np.isnan(table).any(axis=1)]
    n, k = table.shape
    undefined = IntraclassCorrelation(math.nan, math.nan, math.nan, n)
    if n < 2 or k < 2:
        return undefined
    mean, by_case, by_rater = table.mean(), table.mean(axis=1), table.mean(axis=0)
    cases = k * float(((by_case - mean) ** 2).sum()) / (n - 1)
    raters = n * float(((by_rater - mean) ** 2).sum()) / (k - 1)
    rest = table - by_case[:, None] - by_rater + mean
    error = float((rest**2).sum()) / ((n - 1) * (k - 1))
    # Rounding leaves a speck of variance in a constant table.
    if cases + raters + error <= 1e-24 * mean**2 or cases + raters + error == 0:
        return undefined
    if kind == "3,1":
        return _consistency(cases, error, n, k)
    return _absolute(cases, raters, error, n, k)


def _consistency(cases: float, error: float, n: int, k: int) -> IntraclassCorrelation:
    value = (cases - error) / (cases + (k - 1) * error)
    if error == 0:
        return IntraclassCorrelation(value, value, value, n)
    f, free = cases / error, (n - 1) * (k - 1)
    low, high = f / stats.f.ppf(0.975, n - 1, free), f * stats.f.ppf(0.975, free, n - 1)
    return IntraclassCorrelation(value, float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1)), n)


def _absolute(cases: float, raters: float, error: float, n: int, k: int) -> IntraclassCorrelation:
    value = (cases - error) / (cases + (k - 1) * error + k * (raters - error) / n)
    if value >= 1.0:
        return IntraclassCorrelation(value, value, value, n)
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    free = (a * raters + b * error) ** 2 / ((a * raters) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
    low, high = stats.f.ppf(0.975, n - 1, free), stats.f.ppf(0.975, free, n - 1)
    rest = k * raters + (k * n - k - n) * error
    lower = n * (cases - low * error) / (low * rest + n * cases)
    upper = n * (high * cases - error) / (rest + n * high * cases)
    return IntraclassCorrelation(value, float(lower), float(upper), n)
