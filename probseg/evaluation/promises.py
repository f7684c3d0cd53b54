"""What is promised for new patients, fitted on those of the calibration split and measured on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.bootstrap import Interval, bootstrap_mean
from probseg.analysis.conformal import ConformalIntervals, Relative, fit_conformal
from probseg.analysis.interval_coverage import IntervalCoverage, interval_coverage
from probseg.analysis.risk_control import (
    THRESHOLDS,
    RiskControl,
    control_risk,
    missed_foreground,
    missed_votes,
)
from probseg.analysis.tables import Table, ends, interval_columns, plain
from probseg.analysis.volume_intervals import LEVELS, volume_intervals
from probseg.analysis.volume_scores import CaseVolumes
from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.settings import EvaluationSettings
from probseg.evaluation.volumes import case_volumes

__all__ = ["CasePromises", "Patients", "Promise", "Promises", "case_promises", "promised"]


@dataclass(frozen=True, eq=False)
class CasePromises:
    """What one case says of promises, whether they are fitted on it or measured.

    Attributes:
        volumes: of draws and raters.
        missed: ``(2, thresholds)`` share of the union of the raters that is missed when the voxels at or above a
            threshold are taken, and share of the raters' votes in the region outside the set of classes at or above it.
        set_size: ``(thresholds,)`` mean number of classes in the set of a voxel of the region; NaN without a region.
    """

    volumes: CaseVolumes
    missed: NDArray[np.float64]
    set_size: NDArray[np.float64]


def case_promises(case: EvaluatedCase) -> CasePromises:
    """Reduce a case to what promises need."""
    mean, region = case.prediction.mean, case.region
    missed = np.stack(
        [
            missed_foreground(mean, case.masks, case.rated, case.labels.admissible),
            missed_votes(mean, case.masks, case.rated, region),
        ]
    )
    inside = np.sort(mean[:, region].astype(np.float64).ravel())
    above = len(inside) - np.searchsorted(inside, THRESHOLDS)
    voxels = int(region.sum())
    sizes = above / voxels if voxels else np.full(len(THRESHOLDS), np.nan)
    return CasePromises(case_volumes(case), missed, sizes)


class Patients(NamedTuple):
    """Cases with whose they are.

    Attributes:
        cases: one entry a case.
        patients: of the cases.
        sites: of the cases, empty where unknown.
    """

    cases: Sequence[CasePromises]
    patients: Sequence[str]
    sites: Sequence[str]


@dataclass(frozen=True)
class Promise:
    """One promise about volumes of one structure: how it was fitted, and what came of it.

    Attributes:
        structure: class or group; empty for the headline structure.
        fitted: the widening.
        before, after: coverage of the model's own intervals and of the widened ones on the patients measured.
    """

    structure: str
    fitted: ConformalIntervals
    before: IntervalCoverage
    after: IntervalCoverage


@dataclass(frozen=True)
class Promises:
    """Everything promised.

    Attributes:
        level: share of raters' volumes, and of foreground and votes, that is promised.
        volumes: a promise a structure with intervals, and where sites are told apart one more with each site's own.
        sensitivity, sets: thresholds for the union of the raters and for sets of classes.
        missed_foreground, missed_votes: what they miss of the patients measured, with intervals over patients.
        set_size: mean number of classes in a set, of the patients measured.
        intervals: structure to percent to the widening of the model's interval of so many percent, all sites together:
            what `probseg.evaluation.stored_promises` keeps for new patients.
    """

    level: float
    volumes: tuple[Promise, ...]
    sensitivity: RiskControl
    sets: RiskControl
    missed_foreground: Interval
    missed_votes: Interval
    set_size: Interval
    intervals: Mapping[str, Mapping[int, ConformalIntervals]] = field(default_factory=dict)

    def tables(self) -> dict[str, Table]:
        """``conformal.csv`` of volumes and ``thresholds.csv`` of risk control."""
        rows: list[tuple[object, ...]] = []
        for p in self.volumes:
            how = "site" if p.fitted.sites else "pooled"
            widths = (p.before.width_ml, p.after.width_ml, p.after.infinite)
            held = (*ends(p.before.held), *ends(p.after.held))
            rows.append((p.structure, how, self.level, p.fitted.patients, *held, *widths))
        columns = interval_columns(("coverage_before", "coverage_after"))
        volumes = Table(
            ("class", "fitted_by", "level", "patients", *columns, "width_before_ml", "width_after_ml", "infinite"), rows
        )
        found = (("sensitivity", self.sensitivity, self.missed_foreground), ("sets", self.sets, self.missed_votes))
        chosen: list[tuple[object, ...]] = [
            (name, control.risk, control.threshold, control.patients, control.measured, *ends(missed))
            for name, control, missed in found
        ]
        header = ("what", "risk", "threshold", "patients", "missed_calibration", *interval_columns(("missed",)))
        return {"conformal": volumes, "thresholds": Table(header, chosen)}

    def to_dict(self) -> dict[str, Any]:
        """Plain types: what was fitted, to be used on new patients, and what was measured."""
        return {
            "level": self.level,
            "volumes": [
                {"class": p.structure, **p.fitted.to_dict(), "before": plain(p.before), "after": plain(p.after)}
                for p in self.volumes
            ],
            "intervals": {
                structure: {str(level): fitted.to_dict() for level, fitted in levels.items()}
                for structure, levels in self.intervals.items()
            },
            "sensitivity": {**self.sensitivity.to_dict(), "missed": plain(self.missed_foreground)},
            "sets": {**self.sets.to_dict(), "missed": plain(self.missed_votes), "set_size": plain(self.set_size)},
        }

    def sentences(self) -> list[str]:
        """What came of the promise for the headline volume, and of the threshold for sensitivity."""
        said = []
        headline = next((p for p in self.volumes if not p.structure and not p.fitted.sites), None)
        if headline is not None and headline.after.held.n:
            before, after = headline.before.held.value, headline.after.held.value
            count = headline.fitted.patients
            patients = f"{count} calibration {'patient' if count == 1 else 'patients'}"
            without = headline.after.infinite
            endless = f"; {without} of the widened {'has' if without == 1 else 'have'} no upper end" if without else ""
            said.append(
                f"Intervals of volume that promise {100 * self.level:.0f} % of raters: the model's own hold "
                f"{100 * before:.0f} %, widened on {patients} they hold "
                f"{100 * after:.0f} %{endless}."
            )
        if self.missed_foreground.n and self.sensitivity.threshold <= 0:
            said.append(
                f"No threshold of the probability of foreground can promise to miss {100 * self.sensitivity.risk:.0f} "
                f"% of what any rater drew at most: there were {self.sensitivity.patients} calibration patients."
            )
        elif self.missed_foreground.n:
            said.append(
                f"Taking voxels whose probability of foreground is {self.sensitivity.threshold:.3f} or more, fitted to "
                f"miss {100 * self.sensitivity.risk:.0f} % of what any rater drew at most, misses "
                f"{100 * self.missed_foreground.value:.1f} %."
            )
        return said


def promised(
    calibration: Patients,
    measured: Patients,
    names: Sequence[str],
    settings: EvaluationSettings,
) -> Promises:
    """Fit promises on some patients and measure them on others.

    Args:
        calibration: of the calibration split; none of them may have trained or chosen the model, or be among those
            measured.
        measured: the others.
        names: of the structures of `CaseVolumes`, the headline last and empty.
        settings: the level, and the bootstrap over patients.
    """
    level, samples, seed = settings.level, settings.samples, settings.seed
    several = len(set(calibration.sites) - {""}) > 1
    found = []
    for k, name in enumerate(names):
        fit, test = (_intervals_of(part.cases, k, level) for part in (calibration, measured))
        if np.isnan(fit[0]).all() or np.isnan(test[0]).all():
            continue
        for sites in (None, *([list(calibration.sites)] if several else [])):
            fitted = fit_conformal(*fit, list(calibration.patients), level, Relative(), sites)
            widened = fitted.widen(test[0], None if sites is None else list(measured.sites))
            before, after = (
                interval_coverage(e, test[1], list(measured.patients), samples, seed) for e in (test[0], widened)
            )
            found.append(Promise(name, fitted, before, after))
    intervals = {name: _every_level(calibration, k) for k, name in enumerate(names) if name}
    losses = [np.array([case.missed[k] for case in calibration.cases]) for k in range(2)]
    controls = [control_risk(loss, list(calibration.patients), 1 - level) for loss in losses]
    places = [int(np.searchsorted(THRESHOLDS, control.threshold)) for control in controls]
    shares = [
        bootstrap_mean([case.missed[k, places[k]] for case in measured.cases], measured.patients, samples, seed)
        for k in range(2)
    ]
    sizes = bootstrap_mean([c.set_size[places[1]] for c in measured.cases], measured.patients, samples, seed)
    kept = {name: levels for name, levels in intervals.items() if levels}
    return Promises(level, tuple(found), controls[0], controls[1], shares[0], shares[1], sizes, kept)


def _every_level(calibration: Patients, k: int) -> dict[int, ConformalIntervals]:
    """The widening of structure k at each of `LEVELS`; none where the calibration split says nothing of it."""
    found = {}
    for percent in LEVELS:
        ends, volumes = _intervals_of(calibration.cases, k, percent / 100)
        if not np.isnan(ends).all():
            found[percent] = fit_conformal(ends, volumes, list(calibration.patients), percent / 100, Relative())
    return found


def _intervals_of(cases: Sequence[CasePromises], k: int, level: float) -> tuple[NDArray[np.float64], list[NDArray]]:
    """The model's intervals ``(cases, 2)`` of structure k, and the raters' volumes of each case."""
    drawn = [
        volume_intervals(case.volumes.predicted[:, k], [100 * level], case.volumes.voxel_ml)[0]
        if np.isfinite(case.volumes.voxel_ml)
        else np.full(2, np.nan)
        for case in cases
    ]
    return np.array(drawn).reshape(-1, 2), [case.volumes.observed[:, k] for case in cases]
