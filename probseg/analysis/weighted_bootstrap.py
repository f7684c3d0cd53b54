"""Intervals of figures that are no function of sums, such as rank correlations: patients drawn as weights of cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.bootstrap import Interval, patient_weights

__all__ = ["WeightedFigure", "bootstrap_weighted"]

WeightedFigure = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_BLOCK = 100  # samples at a time, so that figures of many cases stay within some MB


def bootstrap_weighted(
    figure: WeightedFigure,
    patients: Sequence[str] | NDArray,
    counted: NDArray[np.bool_] | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> Interval:
    """A figure of weighted cases with its 95 % percentile interval over patients.

    The same draws as `bootstrap` for the same seed and patients: a patient drawn twice gives their cases weight 2.

    Args:
        figure: weights ``(samples, cases)``, whole numbers, to ``(samples,)`` figures; NaN where undefined.
        patients: ``(cases,)`` the patient of each case.
        counted: ``(cases,)`` cases that count; the others have weight 0 and their patients are not drawn. None for all.
        samples: bootstrap samples.
        seed: of the draws.

    Returns:
        NaN ends with fewer than two patients, and where no sample has the figure; samples without it are left out.
    """
    names = np.asarray(patients)
    chosen = np.ones(len(names), dtype=bool) if counted is None else np.asarray(counted, dtype=bool)
    n = int(chosen.sum())
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    value = float(figure(chosen.astype(np.float64)[None])[0])
    people, cluster = np.unique(names[chosen], return_inverse=True)
    if len(people) < 2:
        return Interval(value, math.nan, math.nan, n)
    drawn = patient_weights(len(people), samples, seed)
    found = []
    for start in range(0, samples, _BLOCK):
        block = drawn[start : start + _BLOCK]
        weights = np.zeros((len(block), len(names)))
        weights[:, chosen] = block[:, cluster]
        found.append(figure(weights))
    known = np.concatenate(found)
    known = known[~np.isnan(known)]
    if not len(known):
        return Interval(value, math.nan, math.nan, n)
    low, high = np.quantile(known, (0.025, 0.975))
    return Interval(value, float(low), float(high), n)
