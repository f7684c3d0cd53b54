"""Which score of a scan tells beforehand that its prediction will be poor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probseg.analysis.bootstrap import Interval
from probseg.analysis.detection import auroc_of_counts, average_precision_of_counts, ranked
from probseg.analysis.rank_correlation import weighted_spearman
from probseg.analysis.risk_coverage import area_of_counts, generalised_area_of_counts
from probseg.analysis.tables import Table, ends, interval_columns
from probseg.analysis.weighted_bootstrap import WeightedFigure, bootstrap_weighted
from probseg.errors import ProbsegError

__all__ = ["FAILURE_DICE", "FailureFigures", "failure_figures", "failure_table"]

FAILURE_DICE = 0.5
"""Mean Dice with the raters below which a prediction counts as failed, unless another is stated beforehand."""

_FIGURES = ("spearman", "aurc", "excess_aurc", "augrc", "failure_auroc", "failure_aupr")


@dataclass(frozen=True)
class FailureFigures:
    """How well one score ranks scans by quality; every figure with its interval over patients.

    Attributes:
        score: its name.
        spearman: rank correlation with Dice; -1 is best, as a high score means doubt.
        aurc, excess_aurc, augrc: of the risk 1 - Dice, see `probseg.analysis.risk_coverage.RiskCoverage`; 0 is best.
        failure_auroc, failure_aupr: of telling scans below the threshold from the others; 1 is best.
        failures: number of scans below the threshold.
    """

    score: str
    spearman: Interval
    aurc: Interval
    excess_aurc: Interval
    augrc: Interval
    failure_auroc: Interval
    failure_aupr: Interval
    failures: int


def failure_figures(
    scores: Mapping[str, ArrayLike],
    dice: ArrayLike,
    patients: Sequence[str] | NDArray,
    threshold: float = FAILURE_DICE,
    samples: int = 1000,
    seed: int = 0,
) -> list[FailureFigures]:
    """Every score beside the quality of the predictions, the least excess AURC first.

    Args:
        scores: name to ``(cases,)``, higher is less sure; a case counts for a score where score and Dice are known, so
            only scores with the same n are to be compared.
        dice: ``(cases,)`` Dice of the mode, mean over raters; NaN where undefined.
        patients: ``(cases,)``.
        threshold: Dice below it is a failure.
        samples: bootstrap samples.
        seed: of the bootstrap; the same for every score, so that draws are paired.

    Raises:
        ProbsegError: E_ARGUMENT for a threshold outside 0..1.
    """
    if not 0 < threshold <= 1:
        raise ProbsegError("E_ARGUMENT", f"threshold of a failure must be a Dice above 0 up to 1, but is {threshold}")
    quality = np.asarray(dice, dtype=np.float64)
    found = [
        _figures_of(name, np.asarray(v, dtype=np.float64), quality, patients, threshold, samples, seed)
        for name, v in scores.items()
    ]
    return sorted(found, key=lambda f: (np.isnan(f.excess_aurc.value), f.excess_aurc.value))


def _figures_of(
    name: str,
    score: NDArray[np.float64],
    quality: NDArray[np.float64],
    patients: Sequence[str] | NDArray,
    threshold: float,
    samples: int,
    seed: int,
) -> FailureFigures:
    counted = ~(np.isnan(score) | np.isnan(quality))
    failed = counted & (np.nan_to_num(quality) < threshold)
    risk = np.where(counted, 1 - quality, np.nan)

    def excess(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        best = ranked(np.where(counted, risk, np.nan), risk, weights)
        return area_of_counts(*ranked(score, risk, weights)) - area_of_counts(*best)

    def detected(area: Callable[[NDArray, NDArray], NDArray[np.float64]]) -> WeightedFigure:
        def figure(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            counts = ranked(score, failed, weights)
            return area(counts.positive, counts.negative)

        return figure

    figures: tuple[WeightedFigure, ...] = (
        lambda w: weighted_spearman(score, quality, w),
        lambda w: area_of_counts(*ranked(score, risk, w)),
        excess,
        lambda w: generalised_area_of_counts(*ranked(score, risk, w)),
        detected(auroc_of_counts),
        detected(average_precision_of_counts),
    )
    intervals = [bootstrap_weighted(f, patients, counted, samples, seed) for f in figures]
    return FailureFigures(name, failures=int(failed.sum()), **dict(zip(_FIGURES, intervals, strict=True)))


def failure_table(figures: Sequence[FailureFigures]) -> Table:
    """A row a score, a figure with its ends and n in four columns."""
    rows: list[tuple[object, ...]] = [
        (f.score, f.failures, *(cell for name in _FIGURES for cell in ends(getattr(f, name)))) for f in figures
    ]
    return Table(("score", "failures", *interval_columns(_FIGURES)), rows)
