"""How sure a figure is: intervals from drawing patients, not cases or slices, again and again.

Slices of one scan and scans of one patient resemble each other; an interval that draws them singly is too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from probseg.analysis.additive import Figure, ratio
from probseg.errors import ProbsegError

__all__ = [
    "Interval",
    "Method",
    "bca_levels",
    "bootstrap",
    "bootstrap_columns",
    "bootstrap_mean",
    "patient_weights",
]

Method = Literal["percentile", "bca"]

_BLOCK = 256  # figures at a time, so that a thousand samples of them stay within some MB


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN where undefined.

    Attributes:
        value: the figure over all cases counted.
        low, high: ends of the bootstrap's interval; NaN when there are fewer than two patients.
        n: number of cases counted.
    """

    value: float
    low: float
    high: float
    n: int


def patient_weights(num_patients: int, samples: int, seed: int) -> NDArray[np.float64]:
    """``(samples, patients)``: how often each patient is drawn when as many are drawn with replacement."""
    drawn = np.random.default_rng(seed).integers(num_patients, size=(samples, num_patients))
    drawn += np.arange(samples)[:, None] * num_patients
    counts = np.bincount(drawn.ravel(), minlength=samples * num_patients)
    return counts.reshape(samples, num_patients).astype(np.float64)


def bootstrap(
    statistics: NDArray,
    patients: Sequence[str] | NDArray,
    figure: Figure,
    samples: int = 1000,
    seed: int = 0,
    method: Method = "percentile",
) -> Interval:
    """A figure of summed statistics with its 95 % interval over patients.

    Cluster bootstrap (Efron and Tibshirani 1993, chapter 8): whole patients are drawn with replacement. The figure
    is a function of sums over cases, so a thousand samples are one matrix product.

    Args:
        statistics: ``(cases, k)`` additive statistics. A case with a NaN is left out and not counted.
        patients: ``(cases,)`` the patient of each case.
        figure: ``(..., k)`` sums to ``(...)`` figures.
        samples: number of bootstrap samples.
        seed: the same seed and patients give the same draws, so that figures may be compared pair by pair.
        method: ``percentile``, or ``bca`` for the interval corrected for bias and skewness, see `bca_levels`; both
            from the same draws.

    Returns:
        The interval. Samples in which the figure is undefined (a ratio over nothing) are left out.

    Raises:
        ProbsegError: E_ARGUMENT for another method.
    """
    statistics = np.asarray(statistics, dtype=np.float64)
    statistics = statistics.reshape(len(statistics), math.prod(statistics.shape[1:]))  # -1 is refused where nothing is
    return bootstrap_columns(statistics[:, None], patients, figure, samples, seed, method)[0]


def bootstrap_columns(
    statistics: NDArray,
    patients: Sequence[str] | NDArray,
    figure: Figure,
    samples: int = 1000,
    seed: int = 0,
    method: Method = "percentile",
) -> list[Interval]:
    """Many figures of the same form at once; each entry is what `bootstrap` gives of its column alone.

    Args:
        statistics: ``(cases, figures, k)``. A case with a NaN is left out of that figure.
        patients: as for `bootstrap`.
        figure: as for `bootstrap`.
        samples: as for `bootstrap`.
        seed: as for `bootstrap`.
        method: as for `bootstrap`.
    """
    if method not in ("percentile", "bca"):
        raise ProbsegError("E_ARGUMENT", f"method of a bootstrap must be 'percentile' or 'bca', but is {method!r}")
    statistics = np.asarray(statistics, dtype=np.float64)
    names = np.asarray(patients)
    counted = ~np.isnan(statistics).any(axis=2)  # (cases, figures)
    out: list[Interval | None] = [None] * statistics.shape[1]
    # Figures that count the same cases share their draws.
    patterns, which = np.unique(counted.T, axis=0, return_inverse=True)
    for p, cases in enumerate(patterns):
        columns = np.flatnonzero(which.ravel() == p)
        for start in range(0, len(columns), _BLOCK):
            block = columns[start : start + _BLOCK]
            found = _intervals(statistics[np.ix_(cases, block)], names[cases], figure, samples, seed, method)
            for column, interval in zip(block, found, strict=True):
                out[column] = interval
    return [interval for interval in out if interval is not None]


def _intervals(
    statistics: NDArray[np.float64], patients: NDArray, figure: Figure, samples: int, seed: int, method: Method
) -> list[Interval]:
    n, num_figures, k = statistics.shape
    if n == 0:
        return [Interval(math.nan, math.nan, math.nan, 0)] * num_figures
    values = np.asarray(figure(statistics.sum(axis=0)), dtype=np.float64)  # (figures,)
    names, cluster = np.unique(patients, return_inverse=True)
    if len(names) < 2:
        return [Interval(float(v), math.nan, math.nan, n) for v in values]
    sums = np.zeros((len(names), num_figures, k))
    np.add.at(sums, cluster, statistics)
    weights = patient_weights(len(names), samples, seed)
    drawn = figure((weights @ sums.reshape(len(names), -1)).reshape(samples, num_figures, k))
    without = figure(sums.sum(axis=0) - sums) if method == "bca" else None  # (patients, figures)
    out = []
    for j, value in enumerate(values):
        figures = drawn[:, j][~np.isnan(drawn[:, j])]
        if not len(figures):
            out.append(Interval(float(value), math.nan, math.nan, n))
            continue
        levels = (0.025, 0.975) if without is None else bca_levels(float(value), figures, without[:, j])
        low, high = np.quantile(figures, levels)
        out.append(Interval(float(value), float(low), float(high), n))
    return out


def bca_levels(
    value: float, drawn: NDArray[np.float64], without: NDArray[np.float64], level: float = 0.95
) -> tuple[float, float]:
    """Which two quantiles of the draws end a BCa interval: bias-corrected and accelerated.

    Efron (1987), doi:10.1080/01621459.1987.10478410; Efron and Tibshirani (1993), equations 14.10, 14.14 and 14.15.
    ``z0`` is the normal quantile of the share of draws below the value (half of those equal to it), ``a`` the skewness
    of the jackknife over patients.

    Args:
        value: the figure over everything.
        drawn: ``(samples,)`` the figure in each bootstrap sample.
        without: ``(patients,)`` the figure without each patient in turn; NaN where undefined.
        level: of the interval.

    Returns:
        Two levels in 0..1. Where all draws lie on one side of the value, the share counts as half a draw.
    """
    # Sums in another order differ by specks, which must not decide whether a draw lies below the value.
    speck = 1e-12 * max(abs(value), float(np.abs(drawn).max()))
    half = 0.5 / len(drawn)
    below = (float((drawn < value - speck).mean()) + float((drawn <= value + speck).mean())) / 2
    bias = float(ndtri(min(max(below, half), 1 - half)))
    influence = without[~np.isnan(without)]
    influence = influence - influence.mean() if len(influence) else np.zeros(1)
    flat = float(np.abs(influence).max()) <= speck
    acceleration = 0.0 if flat else -float((influence**3).sum()) / (6 * float((influence**2).sum()) ** 1.5)
    ends = []
    for z in (float(ndtri((1 - level) / 2)), float(ndtri((1 + level) / 2))):
        shifted = bias + z
        ends.append(float(ndtr(bias + shifted / (1 - acceleration * shifted))))
    return ends[0], ends[1]


def bootstrap_mean(
    values: ArrayLike,
    patients: Sequence[str] | NDArray,
    samples: int = 1000,
    seed: int = 0,
    method: Method = "percentile",
) -> Interval:
    """Mean over cases with its 95 % interval over patients; ``values`` is ``(cases,)``, NaN is not counted."""
    column = np.asarray(values, dtype=np.float64)
    return bootstrap(np.stack([column, np.ones_like(column)], axis=1), patients, ratio, samples, seed, method)
