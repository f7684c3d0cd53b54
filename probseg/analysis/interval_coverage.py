"""How often intervals hold raters' volumes, on patients who fitted nothing, and how far chance may take that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import Interval, bootstrap
from probseg.analysis.known import mean_of_known

__all__ = ["IntervalCoverage", "coverage_band", "interval_coverage"]


@dataclass(frozen=True)
class IntervalCoverage:
    """Intervals against raters.

    Attributes:
        held: share of a patient's volumes inside, mean over patients, with its interval over them; ``n`` counts cases.
        width_ml: mean width of the finite ones.
        infinite: number of cases whose interval reaches to infinity.
    """

    held: Interval
    width_ml: float
    infinite: int


def interval_coverage(
    intervals: ArrayLike,
    observed: Sequence[ArrayLike],
    patients: Sequence[str] | NDArray,
    samples: int = 1000,
    seed: int = 0,
) -> IntervalCoverage:
    """Measure intervals ``(cases, 2)``, conformal or not.

    Args:
        intervals: mL; NaN leaves a case out.
        observed: for each case its raters' volumes, mL; NaN is left out.
        patients: ``(cases,)``. Each weighs the same, as in what conformal intervals promise.
        samples: bootstrap samples.
        seed: of the bootstrap.
    """
    ends, names = np.asarray(intervals, dtype=np.float64).reshape(-1, 2), np.asarray(patients)
    counts = np.full((len(ends), 2), np.nan)
    for k, volumes in enumerate(observed):
        v = np.asarray(volumes, dtype=np.float64)
        v = v[~np.isnan(v)]
        if len(v) and not np.isnan(ends[k]).any():
            counts[k] = ((ends[k, 0] <= v) & (v <= ends[k, 1])).sum(), len(v)
    known = ~np.isnan(counts[:, 1])
    _, which = np.unique(names[known], return_inverse=True)
    trials = np.bincount(which, counts[known, 1])[which] if known.any() else np.zeros(0)
    shares = np.full((len(ends), 2), np.nan)
    shares[known] = counts[known] / trials[:, None]
    reaching = known & np.isinf(ends[:, 1])
    width = mean_of_known(np.where(known & ~reaching, ends[:, 1], np.nan) - ends[:, 0])
    return IntervalCoverage(bootstrap(shares, names, ratio, samples, seed), width, int(reaching.sum()))


def coverage_band(level: float, fitted: int, measured: int, confidence: float = 0.95) -> tuple[float, float]:
    """Between which shares a sound conformal interval's measured coverage lies, one volume a patient.

    The coverage that ``fitted`` patients happen to give is a draw of Beta(n + 1 - l, l) with l = floor((n + 1) alpha)
    (Vovk 2012, arXiv:1209.2673; Angelopoulos and Bates 2021, arXiv:2107.07511), and the number held of ``measured``
    patients then binomial.

    Example:
        >>> coverage_band(0.9, 200, 200)
        (0.835, 0.955)
    """
    missed = int(np.floor((fitted + 1) * (1 - level) + 1e-9))
    if missed == 0:
        return 1.0, 1.0  # an infinite interval holds everything
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    low, high = stats.betabinom.ppf(tails, measured, fitted + 1 - missed, missed) / measured
    return float(low), float(high)
