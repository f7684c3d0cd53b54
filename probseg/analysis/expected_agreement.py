"""How far raters will agree, foretold without any of them: from how far the readings of a model do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import Interval, bootstrap
from probseg.analysis.rank_correlation import weighted_spearman
from probseg.analysis.weighted_bootstrap import bootstrap_weighted

__all__ = ["ExpectedAgreement", "expected_agreement"]


@dataclass(frozen=True)
class ExpectedAgreement:
    """Predicted against observed agreement over cases, with intervals over patients.

    Attributes:
        slope, intercept: of the least-squares line of the observed on the predicted; 1 and 0 are calibrated. A slope
            below 1 spreads predictions too far.
        mae: mean absolute error.
        bias: mean of predicted less observed; above 0 foretells more agreement than there is.
        spearman: rank correlation.
    """

    slope: Interval
    intercept: Interval
    mae: Interval
    bias: Interval
    spearman: Interval


def _slope(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of sums ``(..., 5)`` of x, y, x^2, x y and 1, x and y centred."""
    x, y, xx, xy, n = np.moveaxis(sums, -1, 0)
    spread = n * xx - x**2
    return np.divide(n * xy - x * y, spread, out=np.full(n.shape, np.nan), where=spread > 1e-12 * n**2)


def expected_agreement(
    predicted: ArrayLike,
    observed: ArrayLike,
    patients: Sequence[str] | NDArray,
    samples: int = 1000,
    seed: int = 0,
) -> ExpectedAgreement:
    """Compare what a model foretells of a case with what its raters do.

    Args:
        predicted: ``(cases,)`` mean Dice of every two readings, `probseg.analysis.image_scores.mean_pairwise_dice`.
        observed: ``(cases,)`` the same of the raters' masks. A case where either is NaN is left out.
        patients: ``(cases,)``.
        samples: bootstrap samples.
        seed: of the bootstrap.
    """
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = np.where(known, x, np.nan), np.where(known, y, np.nan)
    # Centred, since squares of large means cancel.
    a, b = (float(v[known].mean()) if known.any() else 0.0 for v in (x, y))
    one = np.ones(len(x))
    sums = np.stack([x - a, y - b, (x - a) ** 2, (x - a) * (y - b), one], axis=1)

    def intercept(s: NDArray[np.float64]) -> NDArray[np.float64]:
        return b + s[..., 1] / s[..., 4] - _slope(s) * (a + s[..., 0] / s[..., 4])

    def mean(values: NDArray[np.float64]) -> Interval:
        return bootstrap(np.stack([values, one], axis=1), patients, ratio, samples, seed)

    return ExpectedAgreement(
        bootstrap(sums, patients, _slope, samples, seed),
        bootstrap(sums, patients, intercept, samples, seed),
        mean(np.abs(x - y)),
        mean(x - y),
        bootstrap_weighted(lambda w: weighted_spearman(x, y, w), patients, known, samples, seed),
    )
