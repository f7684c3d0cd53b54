"""Which cases gain most from one more reading: ranked by how much uncertainty it is expected to take away.

The uncertainty of a case is that of its mean reading, the share of raters who give each class to each voxel. With m
readings the variance of these shares, summed over classes and voxels, is Q / m, where Q is the volume on which two
readings of the case differ. One more reading takes away ``Q / m - Q / (m + 1) = Q / (m (m + 1))``. Q is known from the
case's own readings as far as there are two, and otherwise from cases like it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.disagreement import foreground_membership
from probseg.labels import LabelSet

__all__ = ["Expectation", "SecondReading", "SecondReadings", "second_readings"]


@dataclass(frozen=True)
class Expectation:
    """How much two readings of a case are expected to differ.

    Attributes:
        differing: Q, mean expected volume on which two readings differ, in the unit of the table.
        low, high: 95 % interval of it.
        gain: expected reduction of the summed variance by one more reading.
        rank: 1 for the case that gains most.
    """

    differing: float
    low: float
    high: float
    gain: float
    rank: int


@dataclass(frozen=True)
class SecondReading:
    """One case and what another reading of it is worth.

    Attributes:
        case_id, site: which.
        readings: how many there are.
        drawn: mean volume of foreground that its raters drew.
        differing: mean volume on which two of its own readings differ; NaN for one reading.
        alone: expected without a model, from this and from cases of like size.
        with_model: expected from the model's entropy as well; None where the model did not see the case.
    """

    case_id: str
    site: str
    readings: int
    drawn: float
    differing: float
    alone: Expectation | None
    with_model: Expectation | None


@dataclass(frozen=True)
class SecondReadings:
    """All cases, the one that gains most first; by the model where there is one.

    Attributes:
        unit: ``ml``, or ``voxels`` where the size of a voxel is not known.
        cases: of every case with a reading.
        foresight, foresight_with_model: how well the disagreement of a case is foreseen from the others: Spearman's
            correlation, over cases with two readings, of the disagreement seen and the one expected by cases like it
            with the case itself left out; NaN for fewer than five.
    """

    unit: str
    cases: tuple[SecondReading, ...]
    foresight: float
    foresight_with_model: float


def second_readings(
    statistics: Sequence[CaseStatistics], labels: LabelSet, entropy_voxels: Mapping[str, float] | None = None
) -> SecondReadings:
    """Rank cases by what another reading is worth.

    The logarithm of Q is regressed on that of the volume drawn and, with a model, on that of the model's entropy summed
    over the scan; a case's own Q and what cases like it have are then weighed by how sure each is: an empirical Bayes
    estimate (Morris 1983, doi:10.2307/2287098). How sure Q is of m readings comes from leaving out one after the
    other; where no case has three, half of what the regression leaves is taken for chance.

    Args:
        statistics: of the cases.
        labels: the label set.
        entropy_voxels: case id to the model's entropy summed over voxels, nats; cases without are ranked without.
    """
    cases = [s for s in statistics if s.raters]
    known_size = all(not math.isnan(s.voxel_volume_ml) for s in cases)
    scale = np.array([s.voxel_volume_ml if known_size else 1.0 for s in cases])
    readings = np.array([len(s.raters) for s in cases])
    drawn = np.array([_drawn(s, labels) for s in cases]) * scale
    differing, chance = (
        (np.array(column) for column in zip(*map(_differing, cases), strict=True)) if cases else (drawn,) * 2
    )
    differing = differing * scale
    # Half a voxel keeps the logarithm of nothing finite.
    least = scale / 2
    size = np.log(drawn + least)
    alone, foresight = _expect(differing, chance, readings, least, size[:, None])
    given = entropy_voxels or {}
    entropy = np.array([given.get(s.case_id, math.nan) for s in cases]) * scale
    seen = ~np.isnan(entropy)
    by_model: list[Expectation | None] = [None] * len(cases)
    foresight_with_model = math.nan
    if seen.any():
        columns = np.stack([size, np.log(entropy + least)], axis=1)[seen]
        found, foresight_with_model = _expect(differing[seen], chance[seen], readings[seen], least[seen], columns)
        for i, expectation in zip(np.flatnonzero(seen).tolist(), found, strict=True):
            by_model[i] = expectation
    rows = [
        SecondReading(s.case_id, s.site, int(m), float(d), float(q), a, b)
        for s, m, d, q, a, b in zip(cases, readings, drawn, differing, alone, by_model, strict=True)
    ]
    return SecondReadings(
        "ml" if known_size else "voxels", tuple(sorted(rows, key=_place)), foresight, foresight_with_model
    )


def _place(case: SecondReading) -> tuple[bool, float, float]:
    by_model = case.with_model.gain if case.with_model else -math.inf
    alone = case.alone.gain if case.alone else -math.inf
    return case.with_model is None, -by_model, -alone


def _drawn(case: CaseStatistics, labels: LabelSet) -> float:
    """Mean over raters of the voxels that each certainly drew."""
    member = foreground_membership(labels)[case.patterns.labels[: len(case.raters)]]
    return float(((member == 1) @ case.patterns.voxels).mean())


def _differing(case: CaseStatistics) -> tuple[float, float]:
    """Mean over pairs of the voxels that differ, and the variance of its logarithm; NaN for one reading.

    The variance is the jackknife's over raters, NaN for two, and counts half a voxel more so that 0 has a logarithm.
    """
    voxels = {(t.rater_a, t.rater_b): float(t.kinds.sum()) for t in case.pair_tables}
    if not voxels:
        return math.nan, math.nan
    whole = sum(voxels.values()) / len(voxels)
    m = len(case.raters)
    without = [[n for pair, n in voxels.items() if r not in pair] for r in case.raters]
    if m < 3 or not all(without):
        return whole, math.nan
    logs = np.log([sum(w) / len(w) + 0.5 for w in without])
    return whole, float((m - 1) / m * ((logs - logs.mean()) ** 2).sum())


def _expect(
    differing: NDArray[np.float64],
    chance: NDArray[np.float64],
    readings: NDArray[np.int64],
    least: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> tuple[list[Expectation | None], float]:
    """Expectation of every case, and how well those with two readings are foreseen by the others."""
    known = np.flatnonzero(~np.isnan(differing))
    if len(known) < 3:
        return [None] * len(differing), math.nan
    design = np.concatenate([np.ones((len(columns), 1)), columns], axis=1)
    if len(known) < design.shape[1] + 2:
        design = design[:, :1]
    y = np.log(differing[known] + least[known])
    x = design[known]
    noise = _noise(chance, readings)[known]
    weight = np.ones(len(known))
    between = 0.0
    for _ in range(20):  # of a fixed point that settles in a few
        inverse = np.linalg.pinv((x * weight[:, None]).T @ x)
        beta = inverse @ ((x * weight[:, None]).T @ y)
        rest = y - x @ beta
        left = float((rest**2).sum()) / (len(known) - x.shape[1])
        of_chance = np.full(len(known), left / 2) if np.isnan(noise).any() else noise
        between = max(left - float(of_chance.mean()), 1e-3 * left, 1e-12)
        weight = 1.0 / (between + of_chance)
    inverse = np.linalg.pinv((x * weight[:, None]).T @ x)
    hat = np.einsum("ij,jk,ik->i", x, inverse, x) * weight
    foreseen = y - rest / np.maximum(1.0 - hat, 1e-9)
    foresight = math.nan
    if len(known) >= 5 and np.ptp(foreseen) > 0 and np.ptp(y) > 0:
        foresight = float(stats.spearmanr(foreseen, y).statistic)
    mean = design @ beta
    spread = between + np.einsum("ij,jk,ik->i", design, inverse, design)
    mean[known], spread[known] = _weighed(mean[known], spread[known], y, of_chance)
    return _expectations(mean, spread, readings, least), foresight


def _noise(chance: NDArray[np.float64], readings: NDArray[np.int64]) -> NDArray[np.float64]:
    """Variance by chance of the logarithm of each case's own Q: one share for all, over the number of readings."""
    measured = ~np.isnan(chance)
    if not measured.any():
        return np.full(len(readings), np.nan)
    return float((chance * readings)[measured].mean()) / np.maximum(readings, 1)


def _weighed(
    prior: NDArray[np.float64], prior_spread: NDArray[np.float64], own: NDArray[np.float64], noise: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What cases like it say and what the case itself says, by the inverse of their variances."""
    noise = np.maximum(noise, 1e-12)
    spread = 1.0 / (1.0 / prior_spread + 1.0 / noise)
    return spread * (prior / prior_spread + own / noise), spread


def _expectations(
    mean: NDArray[np.float64], spread: NDArray[np.float64], readings: NDArray[np.int64], least: NDArray[np.float64]
) -> list[Expectation | None]:
    """Back from logarithms, whose mean is not the logarithm of the mean."""
    expected = np.maximum(np.exp(mean + spread / 2) - least, 0.0)
    low, high = (np.maximum(np.exp(mean + z * np.sqrt(spread)) - least, 0.0) for z in (-1.96, 1.96))
    gain = expected / (readings * (readings + 1))
    rank = np.empty(len(gain), dtype=int)
    rank[np.argsort(-gain, kind="stable")] = np.arange(1, len(gain) + 1)
    return [
        Expectation(float(e), float(a), float(b), float(g), int(k))
        for e, a, b, g, k in zip(expected, low, high, gain, rank, strict=True)
    ]
