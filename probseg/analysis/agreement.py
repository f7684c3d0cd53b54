"""How far the raters of a dataset differ: figures over cases with intervals over patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.bootstrap import Interval, bootstrap_mean
from probseg.analysis.case_agreement import CaseStatistics, PairStatistics, case_statistics
from probseg.analysis.volumes import log_volume_ratios
from probseg.case import Case
from probseg.errors import ProbsegError, warn
from probseg.records import Dataset, DatasetInfo

__all__ = ["AgreementReport", "RaterFigures", "StructureFigures", "VolumeFigures", "analyse", "merge"]

DEFINITIONS = {
    "dice": "mean over cases of the mean over pairs of raters; a pair that drew nothing is left out and counted",
    "surface_distance_mean_mm": "mean over the surface voxels of both masks of the distance to the other surface",
    "surface_distance_95_mm": "the larger of the two directions' 95th percentiles",
    "complete_agreement": "share of voxels where all raters agree, in the union of their foreground",
    "rater_entropy": "entropy of the raters' vote, mean over the union of their foreground, nats",
    "volume_ml": "mean over cases of the raters' mean volume",
    "range_ml": "mean over cases of the largest less the smallest volume that raters drew",
    "volume_log_ratio": "log of a rater's volume over the geometric mean of the others'; 0 is no bias",
    "interval": "95 % percentile bootstrap over patients; null for fewer than two patients",
}


@dataclass(frozen=True)
class StructureFigures:
    """Pairs of masks compared in one structure, over all cases.

    Attributes:
        structure: name of the class or group.
        dice, iou, surface_distance_mean_mm, surface_distance_95_mm: mean over cases of the mean over pairs.
        pairs: number of (case, pair).
        both_empty, one_empty: of these, how many drew nothing, and in how many only one did.
    """

    structure: str
    dice: Interval
    iou: Interval
    surface_distance_mean_mm: Interval
    surface_distance_95_mm: Interval
    pairs: int
    both_empty: int
    one_empty: int


@dataclass(frozen=True)
class VolumeFigures:
    """How much of one structure raters drew, over cases.

    Attributes:
        structure: name of the class or group.
        volume_ml: mean over cases of the raters' mean volume.
        range_ml: mean over cases of the largest less the smallest volume of a case; cases of two raters or more.
    """

    structure: str
    volume_ml: Interval
    range_ml: Interval


@dataclass(frozen=True)
class RaterFigures:
    """One rater against the others in one structure; only where a name is the same person in every case."""

    rater: str
    structure: str
    dice: Interval
    volume_log_ratio: Interval


@dataclass(frozen=True)
class AgreementReport:
    """What `analyse` found.

    Attributes:
        info: the dataset.
        cases: what each case contributed, in order.
        structures: raters among themselves, one entry a class and group.
        predictions: raters against a model's predictions, likewise; empty without predictions.
        volumes: how much raters drew, one entry a class and group.
        complete_agreement, rater_entropy: over cases.
        raters: per rater; empty where raters have no stable identity.
        identical: pairs of raters whose masks are the same wherever both rated.
        samples, seed: of the bootstrap.
    """

    info: DatasetInfo
    cases: tuple[CaseStatistics, ...]
    structures: tuple[StructureFigures, ...]
    predictions: tuple[StructureFigures, ...]
    volumes: tuple[VolumeFigures, ...]
    complete_agreement: Interval
    rater_entropy: Interval
    raters: tuple[RaterFigures, ...]
    identical: tuple[tuple[str, str], ...]
    samples: int
    seed: int

    @property
    def single_rater_cases(self) -> tuple[str, ...]:
        """Cases with fewer than two raters, which say nothing of agreement."""
        return tuple(c.case_id for c in self.cases if len(c.raters) < 2)

    def by_site(self) -> dict[str, AgreementReport]:
        """The same of the cases of each named site alone; nothing where all cases come from one."""
        sites = sorted({c.site for c in self.cases})
        if len(sites) < 2:
            return {}
        cases = {site: [c for c in self.cases if c.site == site] for site in sites if site}
        return {site: merge(part, self.info, self.samples, self.seed) for site, part in cases.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; what is undefined is None."""
        stable = self.info.stable_raters
        names = sorted({r for c in self.cases for r in c.raters})
        return {
            "dataset": self.info.name,
            "note": self.info.note,
            "cases": len(self.cases),
            "patients": len({c.patient_id for c in self.cases}),
            "raters_max": max((len(c.raters) for c in self.cases), default=0),
            "stable_raters": stable,
            "rater_names": names if stable else None,
            "single_rater_cases": list(self.single_rater_cases),
            "identical_raters": [list(pair) for pair in self.identical],
            "undecided_voxels": sum(c.undecided_voxels for c in self.cases),
            "complete_agreement": _plain(self.complete_agreement),
            "rater_entropy": _plain(self.rater_entropy),
            "structures": {s.structure: _structure_dict(s) for s in self.structures},
            "predictions": {s.structure: _structure_dict(s) for s in self.predictions} or None,
            "volumes": {
                v.structure: {"volume_ml": _plain(v.volume_ml), "range_ml": _plain(v.range_ml)} for v in self.volumes
            },
            "raters": _raters_dict(self.raters) if stable else None,
            "sites": {site: _site_dict(part) for site, part in self.by_site().items()} or None,
            "bootstrap": {"samples": self.samples, "seed": self.seed, "unit": "patient", "level": 0.95},
            "definitions": DEFINITIONS,
        }


def _plain(interval: Interval) -> dict[str, float | int | None]:
    return {f.name: _null(getattr(interval, f.name)) for f in fields(interval)}


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _structure_dict(figures: StructureFigures) -> dict[str, Any]:
    plain = {f.name: getattr(figures, f.name) for f in fields(figures) if f.name != "structure"}
    return {k: _plain(v) if isinstance(v, Interval) else v for k, v in plain.items()}


def _site_dict(report: AgreementReport) -> dict[str, Any]:
    return {
        "cases": len(report.cases),
        "patients": len({c.patient_id for c in report.cases}),
        "complete_agreement": _plain(report.complete_agreement),
        "rater_entropy": _plain(report.rater_entropy),
        "structures": {s.structure: _structure_dict(s) for s in report.structures},
    }


def _raters_dict(raters: Sequence[RaterFigures]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for r in raters:
        entry = {"dice": _plain(r.dice), "volume_log_ratio": _plain(r.volume_log_ratio)}
        out.setdefault(r.rater, {})[r.structure] = entry
    return out


def analyse(
    cases: Iterable[Case],
    predictions: Mapping[str, NDArray] | None = None,
    *,
    info: DatasetInfo | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> AgreementReport:
    """Measure how far the raters of a dataset differ, and how far a model differs from them.

    Every definition is in `DEFINITIONS` and in the functions named there. Voxels that one of two raters did not rate
    are left out of that pair; voxels whose label leaves a structure open are left out of it.

    Args:
        cases: a `Dataset`, or any cases together with ``info``; each is read once and let go.
        predictions: case id to ``space`` dense labels of a model; cases without an entry are left out of these figures.
        info: label set and whether raters' names are stable; needed when ``cases`` is no `Dataset`.
        samples: bootstrap samples.
        seed: of the bootstrap.

    Warns:
        ProbsegWarning: W_SINGLE_RATER where cases have fewer than two raters, W_IDENTICAL_RATERS where two raters have
            the same masks throughout.

    Raises:
        ProbsegError: E_NO_CASES for no case at all, E_SCHEMA without ``info`` or where a prediction belongs to no case.
    """
    if info is None:
        if not isinstance(cases, Dataset):
            raise ProbsegError("E_SCHEMA", "analyse needs info, a DatasetInfo, when the cases are not a Dataset")
        info = cases.info
    given = {} if predictions is None else predictions
    statistics = [case_statistics(case, info.labels, given.get(case.case_id)) for case in cases]
    strange = sorted(set(given) - {s.case_id for s in statistics})
    if strange:
        raise ProbsegError("E_SCHEMA", f"a prediction is given for '{strange[0]}', but no case has this id")
    report = merge(statistics, info, samples, seed)
    _warn(report)
    return report


def _warn(report: AgreementReport) -> None:
    single = report.single_rater_cases
    if single:
        shown = ", ".join(f"'{c}'" for c in single[:3]) + (" and more" if len(single) > 3 else "")
        warn(
            "W_SINGLE_RATER",
            f"{len(single)} of {len(report.cases)} cases have fewer than two raters ({shown}); agreement is undefined "
            "there and they are not counted",
        )
    for a, b in report.identical:
        warn(
            "W_IDENTICAL_RATERS",
            f"raters '{a}' and '{b}' have the same masks in every case that both rated, which counts one opinion "
            f"twice; leave one out: --exclude '{b}'",
        )


def merge(
    statistics: Sequence[CaseStatistics], info: DatasetInfo, samples: int = 1000, seed: int = 0
) -> AgreementReport:
    """Figures over cases from what each case contributed, in any order of computation.

    Raises:
        ProbsegError: E_NO_CASES for an empty list.
    """
    if not statistics:
        raise ProbsegError("E_NO_CASES", f"dataset '{info.name}' has no case to analyse")
    patients = np.array([s.patient_id for s in statistics])

    def mean(values: Sequence[float]) -> Interval:
        return bootstrap_mean(values, patients, samples, seed)

    def figures(pairs: Sequence[Sequence[PairStatistics]], structure: str) -> StructureFigures:
        chosen = [[p for p in case if p.structure == structure] for case in pairs]
        empty = [p.empty for case in chosen for p in case]
        return StructureFigures(
            structure,
            mean([_mean([p.dice for p in case]) for case in chosen]),
            mean([_mean([p.iou for p in case]) for case in chosen]),
            mean([_mean([p.surface_mean_mm for p in case]) for case in chosen]),
            mean([_mean([p.surface_95_mm for p in case]) for case in chosen]),
            len(empty),
            empty.count(2),
            empty.count(1),
        )

    def rater_figures(rater: str, k: int, structure: str) -> RaterFigures:
        dice = [
            _mean([p.dice for p in s.pairs if p.structure == structure and rater in (p.rater_a, p.rater_b)])
            for s in statistics
        ]
        return RaterFigures(rater, structure, mean(dice), mean([_volume_log_ratio(s, rater, k) for s in statistics]))

    against = [s.prediction_pairs for s in statistics]
    raters = sorted({r for s in statistics for r in s.raters}) if info.stable_raters else []
    structures = info.labels.structures
    report = AgreementReport(
        info,
        tuple(statistics),
        tuple(figures([s.pairs for s in statistics], name) for name in structures),
        tuple(figures(against, name) for name in structures) if any(against) else (),
        tuple(_volumes(statistics, k, name, mean) for k, name in enumerate(structures)),
        mean([s.complete_agreement for s in statistics]),
        mean([s.rater_entropy for s in statistics]),
        tuple(rater_figures(r, k, name) for r in raters for k, name in enumerate(structures)),
        (),
        samples,
        seed,
    )
    return replace(report, identical=_identical(statistics))


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan


def _volumes(
    statistics: Sequence[CaseStatistics], k: int, structure: str, mean: Callable[[Sequence[float]], Interval]
) -> VolumeFigures:
    """Volumes of structure number ``k``; a case in which one is undefined does not count."""
    drawn = [np.array([s.sizes_voxels[r][k] for r in s.raters]) * s.voxel_volume_ml for s in statistics]
    return VolumeFigures(
        structure,
        mean([float(v.mean()) if len(v) else math.nan for v in drawn]),
        mean([float(v.max() - v.min()) if len(v) > 1 else math.nan for v in drawn]),
    )


def _volume_log_ratio(case: CaseStatistics, rater: str, k: int) -> float:
    if rater not in case.raters:
        return math.nan
    # The size of a voxel cancels, so images without spacing have a ratio as well.
    sizes = np.array([case.sizes_voxels[r][k] for r in case.raters])
    return float(log_volume_ratios(sizes)[case.raters.index(rater)])


def _identical(statistics: Sequence[CaseStatistics]) -> tuple[tuple[str, str], ...]:
    """Pairs of raters who are the same and not empty somewhere, and different nowhere."""
    same = {pair for s in statistics for pair in s.identical}
    return tuple(sorted(same - {pair for s in statistics for pair in s.different}))
