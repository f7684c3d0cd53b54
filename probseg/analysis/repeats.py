"""How far a rater who read a case twice differs from themselves, beside how far they differ from the others.

`probseg.records.DatasetInfo.repeats` says whose second reading a mask is. Figures between raters see one reading a
person; the repeats are compared with it here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import Interval, bootstrap, bootstrap_mean
from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.known import mean_known
from probseg.case import Case
from probseg.labels import LabelSet

__all__ = ["Repeatability", "repeatability", "separate_repeats"]


def separate_repeats(case: Case, repeats: Mapping[str, str]) -> tuple[Case, dict[str, Case]]:
    """A case with one reading a person, and all readings of each person who read it more than once.

    The reading under the person's own name comes first; where it is missing from the case, the first repeat stands for
    it, under the person's name.

    Args:
        case: with any number of masks.
        repeats: rater to the person whose repeat it is.

    Returns:
        The case, and for each such person the same case with these readings alone, the first under the person's name.
    """
    readings: dict[str, list[str]] = {}
    for rater in sorted(case.masks, key=lambda r: r in repeats):  # stable, so own names come first
        readings.setdefault(repeats.get(rater, rater), []).append(rater)
    if all(names == [person] for person, names in readings.items()):
        return case, {}
    once = {person: names[0] for person, names in readings.items()}
    order = {person: k for k, person in enumerate(dict.fromkeys(repeats.get(r, r) for r in case.masks))}
    several = {
        person: _with(case, {person: names[0], **{n: n for n in names[1:]}})
        for person, names in readings.items()
        if len(names) > 1
    }
    return _with(case, dict(sorted(once.items(), key=lambda item: order[item[0]]))), several


def _with(case: Case, masks: Mapping[str, str]) -> Case:
    """The case with masks of these names, each taken from the mask of another name."""
    rated = {new: case.rated[old] for new, old in masks.items() if old in case.rated}
    return replace(case, masks={new: case.masks[old] for new, old in masks.items()}, rated=rated)


@dataclass(frozen=True)
class Repeatability:
    """One rater, or all together, within and between, in the cases that were read twice.

    Attributes:
        rater: the person; empty for all who repeated a reading.
        structure: name of the class or group.
        dice: of a rater with themselves, mean over cases.
        dice_between: of the same rater with the others in the same cases.
        dice_difference: the first less the second; BCa interval.
        coefficient_ml: repeatability coefficient: two readings of one person differ by less in 95 % of cases.
        coefficient_between_ml: the same of two persons, the reproducibility coefficient.
        coefficient_percent, coefficient_between_percent: likewise, in percent of the mean of the two volumes.
    """

    rater: str
    structure: str
    dice: Interval
    dice_between: Interval
    dice_difference: Interval
    coefficient_ml: Interval
    coefficient_between_ml: Interval
    coefficient_percent: Interval
    coefficient_between_percent: Interval


def repeatability(
    statistics: Sequence[CaseStatistics], labels: LabelSet, samples: int = 1000, seed: int = 0
) -> tuple[Repeatability, ...]:
    """Within- and between-rater agreement of everybody who repeated a reading, then of all of them together.

    The repeatability coefficient is ``1.96 sqrt(mean d^2)``, d the difference of two readings, which is
    ``1.96 sqrt(2) s_w`` of Bland and Altman (1999), doi:10.1177/096228029900800204; mean over cases of the mean over
    pairs of readings. Between raters it is the same of pairs of persons.

    Args:
        statistics: of the cases, one reading a person, with ``repeats``.
        labels: the label set.
        samples: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        An entry a person and structure, then one a structure with ``rater`` empty; nothing where nobody repeated.
    """
    people = sorted({r.raters[0] for s in statistics for r in s.repeats})
    chosen = [*((p,) for p in people), *([tuple(people)] if people else [])]
    out = []
    for group in chosen:
        for k, structure in enumerate(labels.structures):
            rows = [_of_case(s, group, k, structure) for s in statistics]
            table = np.array(rows, dtype=np.float64)  # (cases, 2, 3)
            patients = np.array([s.patient_id for s in statistics])
            name = group[0] if len(chosen) > 1 and group is not chosen[-1] else ""
            out.append(_figures(name, structure, table, patients, samples, seed))
    return tuple(out)


def _of_case(case: CaseStatistics, people: Sequence[str], k: int, structure: str) -> NDArray[np.float64]:
    """``(2, 3)`` within and between: mean over pairs of Dice, squared difference in mL^2 and in percent^2."""
    repeated = [r for r in case.repeats if r.raters and r.raters[0] in people]
    if not repeated:
        return np.full((2, 3), np.nan)
    within = [row for r in repeated for row in _pairs(r, None, k, structure)]
    between = _pairs(case, {r.raters[0] for r in repeated}, k, structure)
    return np.array([_mean_rows(within), _mean_rows(between)])


def _pairs(case: CaseStatistics, people: set[str] | None, k: int, structure: str) -> list[tuple[float, float, float]]:
    """Every pair of readings of the case, or those of which one is by these people."""
    rows = []
    for pair in case.pairs:
        if pair.structure == structure and (people is None or people & {pair.rater_a, pair.rater_b}):
            a, b = (case.sizes_voxels[r][k] for r in (pair.rater_a, pair.rater_b))
            relative = 200.0 * (a - b) / (a + b) if a + b > 0 else math.nan
            rows.append((pair.dice, ((a - b) * case.voxel_volume_ml) ** 2, relative**2))
    return rows


def _mean_rows(rows: Sequence[tuple[float, float, float]]) -> NDArray[np.float64]:
    return mean_known(np.array(rows, dtype=np.float64).reshape(-1, 3))


def _coefficient(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.96 * np.sqrt(np.maximum(ratio(sums), 0.0))


def _figures(
    rater: str, structure: str, table: NDArray[np.float64], patients: NDArray, samples: int, seed: int
) -> Repeatability:
    dice, between = (bootstrap_mean(table[:, place, 0], patients, samples, seed) for place in range(2))
    apart = bootstrap_mean(table[:, 0, 0] - table[:, 1, 0], patients, samples, seed, "bca")

    def coefficient(place: int, measure: int) -> Interval:
        column = table[:, place, measure]
        return bootstrap(np.stack([column, np.ones_like(column)], axis=1), patients, _coefficient, samples, seed)

    ml, percent = ((coefficient(0, measure), coefficient(1, measure)) for measure in (1, 2))
    return Repeatability(rater, structure, dice, between, apart, *ml, *percent)
