"""How well raters agree on volumes, over cases and never voxels: Bland-Altman limits and intraclass correlation."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from probseg.errors import ProbsegError

__all__ = ["BlandAltman", "IntraclassCorrelation", "Kind", "bland_altman", "icc"]

Kind = Literal["1,1", "2,1", "3,1"]
Ends = tuple[float, float]

_NOTHING: Ends = (math.nan, math.nan)
_REACH = 1.96  # of the limits of agreement, as published; the intervals use exact quantiles


class BlandAltman(NamedTuple):
    """Bias of a against b and the limits between which 95 % of the differences lie, in the unit of both.

    Attributes:
        bias: mean difference.
        low, high: limits of agreement.
        n: cases with both.
        bias_interval, low_interval, high_interval: 95 % intervals of these three.
        slope: of the difference on the mean of the two, proportional bias: 0.1 says that the difference grows by 1 mL
            where the mean grows by 10 mL.
        slope_interval: its 95 % interval; one without 0 says that the bias depends on the size.
        incomplete: cases left out because one of the two is undefined.
    """

    bias: float
    low: float
    high: float
    n: int
    bias_interval: Ends = _NOTHING
    low_interval: Ends = _NOTHING
    high_interval: Ends = _NOTHING
    slope: float = math.nan
    slope_interval: Ends = _NOTHING
    incomplete: int = 0


class IntraclassCorrelation(NamedTuple):
    """Intraclass correlation with its 95 % interval.

    Attributes:
        value: 1 is complete agreement.
        low, high: the interval.
        n: cases that all raters read.
        raters: number of raters.
        incomplete: cases left out because a rater is missing.
    """

    value: float
    low: float
    high: float
    n: int
    raters: int = 0
    incomplete: int = 0


def bland_altman(a: ArrayLike, b: ArrayLike) -> BlandAltman:
    """Mean difference ``a - b`` over cases and the 95 % limits of agreement, bias plus and minus 1.96 SD.

    Bland and Altman (1986), doi:10.1016/S0140-6736(86)90837-8, and (1999), doi:10.1177/096228029900800204, from which
    the interval of the bias, ``d ± t SD / sqrt(n)``, and the regression of the difference on the mean come. The
    intervals of the limits are exact for normal differences, from the non-central t distribution (Carkeet 2015,
    doi:10.1097/OPX.0000000000000513); the approximation of 1999 is too narrow on one side for few cases.

    Args:
        a: ``(cases,)``, for example volumes in mL by one rater.
        b: ``(cases,)`` by another. A case with a NaN in either is left out and counted.

    Returns:
        NaN limits and intervals for fewer than two cases, NaN bias for none; no slope for fewer than three cases, or
        where the mean is the same in all.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    known = ~np.isnan(first - second)
    difference, mean = (first - second)[known], ((first + second) / 2)[known]
    n = len(difference)
    incomplete = len(known) - n
    if n < 2:
        bias = float(difference[0]) if n else math.nan
        return BlandAltman(bias, math.nan, math.nan, n, incomplete=incomplete)
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    reach = float(stats.t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    below, above = _limit_quantiles(n)
    return BlandAltman(
        bias,
        bias - _REACH * spread,
        bias + _REACH * spread,
        n,
        (bias - reach, bias + reach),
        (bias - above * spread, bias - below * spread),
        (bias + below * spread, bias + above * spread),
        *_slope(mean, difference),
        incomplete,
    )


def _limit_quantiles(n: int) -> Ends:
    """Where the upper limit ``mu + 1.96 sigma`` may lie, in standard deviations above the mean difference, 95 %."""
    noncentrality = _REACH * math.sqrt(n)
    low, high = stats.nct.ppf([0.025, 0.975], n - 1, noncentrality) / math.sqrt(n)
    return float(low), float(high)


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, Ends]:
    """Least squares of y on x with the 95 % t interval of the slope."""
    n, centred = len(x), x - x.mean()
    square = float(centred @ centred)
    if n < 3 or square <= 1e-24 * n * float(np.abs(x).max()) ** 2:
        return math.nan, _NOTHING
    slope = float(centred @ y) / square
    if abs(slope) * math.sqrt(square) <= 1e-12 * float(np.abs(y).sum()):
        slope = 0.0  # of differences that are all the same, rounding would make a bias that grows
    rest = y - y.mean() - slope * centred
    reach = float(stats.t.ppf(0.975, n - 2)) * math.sqrt(float(rest @ rest) / (n - 2) / square)
    return slope, (slope - reach, slope + reach)


def icc(volumes: NDArray, kind: Kind = "2,1") -> IntraclassCorrelation:
    """Share of the variance of volumes that lies between cases and not between raters; 1 is complete agreement.

    Shrout and Fleiss (1979), doi:10.1037/0033-2909.86.2.420; intervals by McGraw and Wong (1996),
    doi:10.1037/1082-989X.1.1.30.

    Args:
        volumes: ``(cases, raters)``; a case with a NaN is left out and counted.
        kind: ``2,1`` absolute agreement of single raters drawn at random: a rater's constant bias counts against it;
            ``3,1`` consistency of these very raters: it does not; ``1,1`` the only one of the three that has a
            meaning where a column is not the same person in every case.

    Returns:
        NaN for fewer than two cases or raters, or where nothing varies.

    Raises:
        ProbsegError: E_ARGUMENT for another kind.
    """
    if kind not in ("1,1", "2,1", "3,1"):
        raise ProbsegError("E_ARGUMENT", f"kind of icc must be '1,1', '2,1' or '3,1', but is {kind!r}")
    every = np.asarray(volumes, dtype=np.float64)
    table = every[~np.isnan(every).any(axis=1)]
    n, k = table.shape
    undefined = IntraclassCorrelation(math.nan, math.nan, math.nan, n, k, len(every) - n)
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
    if kind == "2,1":
        found = _absolute(cases, raters, error, n, k)
    elif kind == "3,1":
        found = _one_way(cases, error, n, k, (n - 1) * (k - 1))
    else:
        within = (raters * (k - 1) + error * (n - 1) * (k - 1)) / (n * (k - 1))
        found = _one_way(cases, within, n, k, n * (k - 1))
    return undefined._replace(value=found[0], low=found[1], high=found[2])


def _one_way(cases: float, error: float, n: int, k: int, free: int) -> tuple[float, float, float]:
    """From two mean squares, ``free`` the degrees of freedom of the second."""
    value = (cases - error) / (cases + (k - 1) * error)
    if error == 0:
        return value, value, value
    f = cases / error
    low, high = f / stats.f.ppf(0.975, n - 1, free), f * stats.f.ppf(0.975, free, n - 1)
    return value, float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1))


def _absolute(cases: float, raters: float, error: float, n: int, k: int) -> tuple[float, float, float]:
    value = (cases - error) / (cases + (k - 1) * error + k * (raters - error) / n)
    if value >= 1.0:
        return value, value, value
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    free = (a * raters + b * error) ** 2 / ((a * raters) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
    low, high = stats.f.ppf(0.975, n - 1, free), stats.f.ppf(0.975, free, n - 1)
    rest = k * raters + (k * n - k - n) * error
    lower = n * (cases - low * error) / (low * rest + n * cases)
    upper = n * (high * cases - error) / (rest + n * high * cases)
    return value, float(lower), float(upper)
