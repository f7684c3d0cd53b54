"""How sure a figure is: intervals from drawing patients, not cases or slices, again and again.

Slices of one scan and scans of one patient resemble each other; an interval that draws them singly is too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Interval", "bootstrap", "bootstrap_mean", "patient_weights", "ratio"]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN where undefined.

    Attributes:
        value: the figure over all cases counted.
        low, high: percentiles 2.5 and 97.5 of the bootstrap; NaN when there are fewer than two patients.
        n: number of cases counted.
    """

    value: float
    low: float
    high: float
    n: int


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """First of two sums over the second, ``(..., 2)`` to ``(...)``; NaN where the second is 0."""
    top, bottom = sums[..., 0], sums[..., 1]
    return np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom != 0)


def patient_weights(num_patients: int, samples: int, seed: int) -> NDArray[np.float64]:
    """``(samples, patients)``: how often each patient is drawn when as many are drawn with replacement."""
    drawn = np.random.default_rng(seed).integers(num_patients, size=(samples, num_patients))
    drawn += np.arange(samples)[:, None] * num_patients
    counts = np.bincount(drawn.ravel(), minlength=samples * num_patients)
    return counts.reshape(samples, num_patients).astype(np.float64)


def bootstrap(
    statistics: NDArray,
    patients: Sequence[str] | NDArray,
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """A figure of summed statistics with its 95 % percentile interval over patients.

    Cluster bootstrap (Efron and Tibshirani 1993, chapter 8): whole patients are drawn with replacement. The figure
    is a function of sums over cases, so a thousand samples are one matrix product.

    Args:
        statistics: ``(cases, k)`` additive statistics. A case with a NaN is left out and not counted.
        patients: ``(cases,)`` the patient of each case.
        figure: ``(..., k)`` sums to ``(...)`` figures.
        samples: number of bootstrap samples.
        seed: the same seed and patients give the same draws, so that figures may be compared pair by pair.

    Returns:
        The interval. Samples in which the figure is undefined (a ratio over nothing) are left out of the percentiles.
    """
    statistics = np.asarray(statistics, dtype=np.float64)
    statistics = statistics.reshape(len(statistics), -1)
    counted = ~np.isnan(statistics).any(axis=1)
    statistics, n = statistics[counted], int(counted.sum())
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    value = float(figure(statistics.sum(axis=0)))
    names, cluster = np.unique(np.asarray(patients)[counted], return_inverse=True)
    if len(names) < 2:
        return Interval(value, math.nan, math.nan, n)
    sums = np.zeros((len(names), statistics.shape[1]))
    np.add.at(sums, cluster, statistics)
    figures = figure(patient_weights(len(names), samples, seed) @ sums)
    figures = figures[~np.isnan(figures)]
    low, high = np.quantile(figures, (0.025, 0.975)) if len(figures) else (math.nan, math.nan)
    return Interval(value, float(low), float(high), n)


def bootstrap_mean(
    values: ArrayLike, patients: Sequence[str] | NDArray, samples: int = 1000, seed: int = 0
) -> Interval:
    """Mean over cases with its 95 % interval over patients; ``values`` is ``(cases,)``, NaN is not counted."""
    column = np.asarray(values, dtype=np.float64)
    return bootstrap(np.stack([column, np.ones_like(column)], axis=1), patients, ratio, samples, seed)
