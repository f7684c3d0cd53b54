"""How many more patients or raters would halve the interval of kappa, of Dice, of a rater's bias in volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.held_out import ALL_CLASSES
from probseg.analysis.known import mean_known
from probseg.analysis.rater_parts import Readings, dice_parts, kappa_parts
from probseg.analysis.variance import (
    Needed,
    Role,
    Variance,
    crossed_variance,
    needed_for_half,
    nested_variance,
    resampled_variance,
)
from probseg.labels import LabelSet

__all__ = ["ANY_RATERS", "THESE_RATERS", "Plan", "plan_sentence", "plans"]

THESE_RATERS = "these raters"
ANY_RATERS = "any raters"


@dataclass(frozen=True)
class Plan:
    """What would halve the 95 % interval of one figure.

    Attributes:
        figure: ``fleiss_kappa`` or ``dice``, means over cases, or ``volume_log_ratio``, the bias of a rater.
        structure: name of the class or group, or `probseg.analysis.held_out.ALL_CLASSES`.
        scope: `THESE_RATERS`, an interval over patients as everywhere in the report, or `ANY_RATERS`, over patients and
            raters, if others of the same kind had read.
        value: the figure, patients weighing alike; NaN for the bias, of which each rater has their own.
        patients, raters: how many there are; raters is readings a patient where raters are nobody.
        half_width: of the interval now, 1.96 standard errors.
        patient_share, rater_share, rest_share: parts of the variance now; they sum to 1.
        needed: what would halve it.
        resampled_patients, resampled_raters: the interval's width with the numbers needed over the width now, by
            drawing so many from those there are; about 0.5. NaN where nothing is needed or drawn.
    """

    figure: str
    structure: str
    scope: str
    value: float
    patients: int
    raters: float
    half_width: float
    patient_share: float
    rater_share: float
    rest_share: float
    needed: Needed
    resampled_patients: float
    resampled_raters: float


def plans(
    statistics: Sequence[CaseStatistics],
    labels: LabelSet,
    stable: bool,
    region: str = "union",
    samples: int = 1000,
    seed: int = 0,
) -> tuple[Plan, ...]:
    """Plan for the kappa and Dice of every structure and, where names are persons, for the bias in volume.

    Leaving out one rater of a case after the other gives pseudo-values of its figure, one a rater (Dorfman, Berbaum and
    Metz 1992, doi:10.1097/00004424-199209000-00015), which are analysed as a table of patients and raters
    (`probseg.analysis.variance`), a patient's cases averaged first. The pseudo-values overstate what the raters of one
    case add to its variance where pairs of raters have parts of their own (Efron and Stein 1981,
    doi:10.1214/aos/1176345462); with four raters it is known by how much, with three it is not, and more raters are
    flattered. For the bias the table holds the logarithms of the volumes themselves. With two raters a case none can be
    left out, and only patients are planned. The answer extrapolates: it holds for more patients and raters like these.

    Args:
        statistics: of the cases.
        labels: the label set.
        stable: whether a rater's name is the same person in every case.
        region: where kappa is measured, see `probseg.analysis.region.combination_region`.
        samples: bootstrap samples of the resampled widths.
        seed: of these.

    Returns:
        A plan a figure, structure and scope; none where the figure is undefined or does not vary.
    """
    patients = np.unique([s.patient_id for s in statistics], return_inverse=True)[1]
    found: list[tuple[str, str, Role, _Found | None]] = []
    for figure, of_case, structures in (
        ("fleiss_kappa", kappa_parts, (ALL_CLASSES, *labels.structures)),
        ("dice", dice_parts, labels.structures),
    ):
        cases = [of_case(s, labels, region) for s in statistics]
        for k, structure in enumerate(structures):
            values, readings = np.array([c.whole[k] for c in cases]), [Readings.of(c, k) for c in cases]
            apart = _crossed(statistics, patients, values, readings) if stable else _nested(patients, values, readings)
            found.append((figure, structure, "mean", apart))
    for k, structure in enumerate(labels.structures if stable else ()):
        found.append(("volume_log_ratio", structure, "one against others", _volumes(statistics, patients, k)))
    return tuple(
        plan
        for figure, structure, role, apart in found
        if apart is not None
        for plan in _plans(figure, structure, role, apart, samples, seed)
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """A figure taken apart: its value, its components, and the tables ``(patients, columns)`` to resample."""

    value: float
    variance: Variance
    tables: tuple[NDArray[np.float64], ...]


def _of_patients(values: NDArray[np.float64], patients: NDArray[np.intp]) -> NDArray[np.float64]:
    """``(patients, ...)`` mean over the cases of each."""
    return np.stack([mean_known(values[patients == p]) for p in range(patients.max() + 1)])


def _crossed(
    statistics: Sequence[CaseStatistics],
    patients: NDArray[np.intp],
    values: NDArray[np.float64],
    readings: Sequence[Readings],
) -> _Found | None:
    raters = sorted({r for s in statistics for r in s.raters})
    table = np.full((len(statistics), len(raters)), np.nan)
    for i, case in enumerate(statistics):
        table[i, [raters.index(r) for r in case.raters]] = readings[i].pseudo
    cases = np.bincount(patients, ~np.isnan(table).all(axis=1))
    table, figure = _of_patients(table, patients), _of_patients(values[:, None], patients)[:, 0]
    figure = figure[~np.isnan(figure)]
    variance = crossed_variance(table)
    if variance is None or len(figure) < 2:
        return _patients_only(figure, len(raters))
    # What raters add to single cases, less their own part, which is the same in every case and so no part of the rest.
    factor, known = _overstated(readings), [r for r in readings if not math.isnan(r.jackknife)]
    added = [len(r.pseudo) * factor * r.jackknife - variance.raters for r in known]
    rest = max(float(np.mean(added)), 0.0) * float(np.mean(1.0 / cases[cases > 0]))
    # Of these raters alone, the spread of the patients' figures is all there is.
    total, number = float(figure.var(ddof=1)), variance.num_raters * variance.share_read
    rest = min(rest, total * number)
    between = (total - rest / number) / variance.patient_excess
    return _Found(float(figure.mean()), replace(variance, patients=between, rest=rest), (table,))


def _overstated(readings: Sequence[Readings]) -> float:
    """By how much the jackknife's variance within cases is to be reduced: 0 to 1; 1 where no case has four raters."""
    both = np.array([r.of_pairs for r in readings if not math.isnan(r.of_pairs[0])]).reshape(-1, 2).sum(axis=0)
    return min(max(float(both[1] / both[0]), 0.0), 1.0) if both[0] > 0 else 1.0


def _nested(patients: NDArray[np.intp], values: NDArray[np.float64], readings: Sequence[Readings]) -> _Found | None:
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return None
    number = np.array([float(len(r.pseudo)) for r in readings])
    within = _overstated(readings) * np.array([r.jackknife for r in readings])
    whose = np.unique(patients[known], return_inverse=True)[1]  # numbers without gaps
    of_patient = _of_patients(np.stack([values, within, number], axis=1)[known], whose)
    # The mean of K cases varies by a Kth of what one varies, given the patient.
    variance = nested_variance(of_patient[:, 0], of_patient[:, 1] / np.bincount(whose), of_patient[:, 2])
    if variance is None:
        return _patients_only(of_patient[:, 0], float(number.mean()))
    return _Found(float(of_patient[:, 0].mean()), variance, (of_patient[:, :1],))


def _patients_only(figure: NDArray[np.float64], raters: float) -> _Found | None:
    """Where no rater can be left out, all variance passes for that of patients."""
    if len(figure) < 2:
        return None
    variance = Variance(float(figure.var(ddof=1)), 0.0, 0.0, len(figure), raters, crossed=False)
    return _Found(float(figure.mean()), variance, (figure[:, None],))


def _volumes(statistics: Sequence[CaseStatistics], patients: NDArray[np.intp], k: int) -> _Found | None:
    """Logarithms of the volumes of structure number k; to resample, each rater less each of the others."""
    raters = sorted({r for s in statistics for r in s.raters})
    logs = np.full((len(statistics), len(raters)), np.nan)
    for i, case in enumerate(statistics):
        for name, sizes in case.sizes_voxels.items():
            if sizes[k] > 0:
                logs[i, raters.index(name)] = math.log(sizes[k])
    logs = _of_patients(logs, patients)
    variance = crossed_variance(logs)
    if variance is None:
        return None
    apart = tuple(logs[:, [r]] - np.delete(logs, r, axis=1) for r in range(len(raters)))
    return _Found(math.nan, variance, apart)


def _plans(figure: str, structure: str, role: Role, found: _Found, samples: int, seed: int) -> list[Plan]:
    variance, out = found.variance, []
    of = variance.of_mean if role == "mean" else variance.of_one_against_others
    n, m = variance.num_patients, variance.num_raters
    for scope in (THESE_RATERS, ANY_RATERS) if variance.crossed else (THESE_RATERS,):
        anew = scope == ANY_RATERS
        now = of(n, m, anew)
        if now <= 0:
            continue
        needed = needed_for_half(variance, role, anew)
        by_patients = of(n, m, anew) - of(math.inf, m, anew)
        raters = of(math.inf, m, anew)
        rest = by_patients - (variance.patient_excess * variance.patients / n if role == "mean" else 0.0)
        shares = ((by_patients - rest) / now, raters / now, rest / now)
        resampled = _Resampled(found.tables, role, n, m, anew, samples, seed)
        out.append(
            Plan(
                figure,
                structure,
                scope,
                found.value,
                n,
                m,
                1.96 * math.sqrt(now),
                *shares,
                needed,
                math.nan if needed.patients is None else resampled.ratio(needed.patients, None),
                math.nan if needed.raters is None or not anew else resampled.ratio(n, needed.raters),
            )
        )
    return out


@dataclass(frozen=True, eq=False)
class _Resampled:
    """Widths of an interval by drawing patients, and raters where they are drawn anew, from those there are."""

    tables: tuple[NDArray[np.float64], ...]
    role: Role
    patients: int
    raters: float
    anew: bool
    samples: int
    seed: int

    def ratio(self, patients: int, raters: int | None) -> float:
        """Width with so many over the width now; None for as many raters as now."""
        then = self._variance(patients, round(self.raters) if raters is None else raters)
        return math.sqrt(then / self._now) if self._now > 0 else math.nan

    @cached_property
    def _now(self) -> float:
        return self._variance(self.patients, round(self.raters))

    def _variance(self, patients: int, raters: int) -> float:
        columns = raters - (self.role == "one against others")
        drawn = columns if self.anew else None
        return float(np.mean([resampled_variance(t, patients, drawn, self.samples, self.seed) for t in self.tables]))


_NAMES = {"fleiss_kappa": "Fleiss' kappa", "dice": "Dice", "volume_log_ratio": "a reader's bias in volume"}


def plan_sentence(plan: Plan) -> str:
    """A plan in words, for those who have to find the readers and the patients."""
    over = "patients" if plan.scope == THESE_RATERS else "patients and readers"
    of_bias = plan.figure == "volume_log_ratio"
    half = f"{100 * math.expm1(plan.half_width):.1f} %" if of_bias else f"{plan.half_width:.3f}"
    start = f"To halve the interval of {_NAMES[plan.figure]} on {plan.structure} over {over}, now {half} either way"
    patients, raters, fewest = plan.needed
    options = []
    if patients is not None:
        options.append(f"read {patients - plan.patients} more patients")
    if raters is not None:
        options.append(f"have {math.ceil(raters - plan.raters)} more readers")
    if options:
        return f"{start}: {' or '.join(options)}."
    if fewest is not None:
        both = f"{fewest[0]} patients read by {fewest[1]} do"
        return f"{start}: neither more patients nor more readers alone suffice; {both}."
    return f"{start}: no number of patients or readers suffices."
