"""How far the raters of a dataset differ: figures over cases with intervals over patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from probseg.analysis.agreement_settings import AgreementSettings
from probseg.analysis.agreement_tables import case_table, class_table, confusion_table, pairwise_table
from probseg.analysis.bootstrap import Interval, bootstrap_mean
from probseg.analysis.case_agreement import TOLERANCES_MM, CaseStatistics
from probseg.analysis.ceiling import DEFAULT_MARGINS
from probseg.analysis.confusion import Confusion, confusions
from probseg.analysis.definitions import DEFINITIONS
from probseg.analysis.figure_tables import site_table
from probseg.analysis.held_out import ALL_CLASSES
from probseg.analysis.known import mean_of_known
from probseg.analysis.measuring import Follow, Predicted, measure
from probseg.analysis.over_cases import Over
from probseg.analysis.rater_figures import RaterFigures
from probseg.analysis.structure_figures import KindFigures, StructureFigures, kind_figures, structure_figures
from probseg.analysis.study import Study, identical_raters
from probseg.analysis.tables import Table, plain
from probseg.analysis.vote_figures import VoteFigures, vote_figures
from probseg.case import Case
from probseg.errors import ProbsegError, warn
from probseg.records import Dataset, DatasetInfo

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["AgreementReport", "RaterFigures", "StructureFigures", "VolumeFigures", "analyse", "merge", "warn_of"]


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
class AgreementReport:
    """What `analyse` found.

    Attributes:
        info: the dataset.
        cases: what each case contributed, in order.
        structures: raters among themselves two by two, one entry a class and group.
        predictions: raters against a model's predictions, likewise; empty without predictions.
        volumes: how much raters drew, one entry a class and group.
        votes: all raters together: first the leaf classes, then one entry a class and group.
        disagreement: kinds of disagreement between whole label maps of two raters.
        cohen_kappa: of the leaf classes of two raters.
        confusion: which class one rater calls what another calls so.
        identical: pairs of raters whose masks are the same wherever both rated.
        settings: how it was measured.
    """

    info: DatasetInfo
    cases: tuple[CaseStatistics, ...]
    structures: tuple[StructureFigures, ...]
    predictions: tuple[StructureFigures, ...]
    volumes: tuple[VolumeFigures, ...]
    votes: tuple[VoteFigures, ...]
    disagreement: KindFigures
    cohen_kappa: Interval
    confusion: tuple[Confusion, ...]
    identical: tuple[tuple[str, str], ...]
    settings: AgreementSettings

    @cached_property
    def study(self) -> Study:
        """Raters, volumes, the human ceiling and planning, each found when asked for."""
        return Study(self.info, self.cases, self.settings)

    def tables(self) -> dict[str, Table]:
        """Every table by the name of its file, in the order in which they are written."""
        labels = self.info.labels
        return {
            "pairwise": pairwise_table(self.cases, self.settings.tolerances_mm),
            "cases": case_table(self.cases, labels),
            "classes": class_table(self.cases, labels),
            "confusion": confusion_table(self.confusion, labels),
            **self.study.tables(),
        }

    def frames(self) -> dict[str, DataFrame]:
        """The tables as pandas frames, which plot in a line: ``report.frames()["cases"].plot.scatter(...)``."""
        import pandas as pd  # only whoever asks for frames waits for it

        return {name: pd.DataFrame(table.rows, columns=list(table.columns)) for name, table in self.tables().items()}

    def site_table(self) -> Table:
        """One row a site and class or group, all classes together first; no row where all cases come from one site."""
        parts = self.by_site()
        return site_table({s: (p.cases, p.structures, p.votes, p.predictions) for s, p in parts.items()})

    @property
    def raters(self) -> tuple[RaterFigures, ...]:
        """Per rater, one entry a class and group; empty where raters have no stable identity."""
        return tuple(figures for card in self.study.raters for figures in card.structures)

    @property
    def complete_agreement(self) -> Interval:
        """Share of the voxels drawn by any rater on which all agree, over cases."""
        return self.votes[0].complete_agreement

    @property
    def rater_entropy(self) -> Interval:
        """Entropy of the raters' vote over the region, nats, over cases."""
        return self.votes[0].rater_entropy

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
        return {site: merge(part, self.info, self.settings) for site, part in cases.items()}

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
            "region": {"name": self.settings.region, "text": self.settings.region_text()},
            "tolerances_mm": list(self.settings.tolerances_mm),
            **self._agreement(),
            "confusion": {"labels": list(self.info.labels.label_names), "between": plain(self.confusion)},
            "predictions": {s.structure: _named(s) for s in self.predictions} or None,
            "volumes": {v.structure: _named(v) for v in self.volumes},
            "raters": _raters_dict(self.raters) if stable else None,
            **self.study.to_dict(),
            "sites": {site: _site_dict(part) for site, part in self.by_site().items()} or None,
            "bootstrap": {
                "samples": self.settings.samples,
                "seed": self.settings.seed,
                "unit": "patient",
                "level": 0.95,
            },
            "definitions": DEFINITIONS,
        }

    def _agreement(self) -> dict[str, Any]:
        """What raters have in common and what not: all classes together, then every structure."""
        together, *each = self.votes
        pairs = {"cohen_kappa": plain(self.cohen_kappa), "disagreement": plain(self.disagreement)}
        return {
            **_named(together),
            **pairs,
            "structures": {s.structure: _named(s) | _named(v) for s, v in zip(self.structures, each, strict=True)},
        }


def _named(figures: Any) -> dict[str, Any]:
    """The figures of a structure without its name, which is the key they stand under."""
    return {name: value for name, value in plain(figures).items() if name != "structure"}


def _site_dict(report: AgreementReport) -> dict[str, Any]:
    return {
        "cases": len(report.cases),
        "patients": len({c.patient_id for c in report.cases}),
        **report._agreement(),
    }


def _raters_dict(raters: Sequence[RaterFigures]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for r in raters:
        out.setdefault(r.rater, {})[r.structure] = {k: v for k, v in _named(r).items() if k != "rater"}
    return out


def analyse(
    cases: Iterable[Case],
    predictions: Mapping[str, Predicted] | None = None,
    *,
    info: DatasetInfo | None = None,
    region: str = "union",
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
    margins: Mapping[str, float] = DEFAULT_MARGINS,
    samples: int = 1000,
    seed: int = 0,
    jobs: int | None = None,
    follow: Follow | None = None,
) -> AgreementReport:
    """Measure how far the raters of a dataset differ, and how far a model differs from them.

    Every definition is in `DEFINITIONS` and in the functions named there. Voxels that one of two raters did not rate
    are left out of that pair; voxels whose label leaves a structure open are left out of it.

    Args:
        cases: a `Dataset`, or any cases together with ``info``; each is read once and let go.
        predictions: case id to ``space`` dense labels, or what `probseg.io.predicted.open_predictions` found;
            cases without an entry are left out of these figures.
        info: label set and whether raters' names are stable; needed when ``cases`` is no `Dataset`.
        region: where entropy and the figures beyond chance are measured: ``union``, what any rater drew; ``whole``,
            the whole image, easy background included; or the name of a class or group, such as ``lung``: what any rater
            calls so.
        tolerances_mm: of surface Dice, rising.
        margins: figure and how much worse than a rater a model may be and still pass for as good, stated beforehand.
        samples: bootstrap samples.
        seed: of the bootstrap.
        jobs: processes; None for this one, or what an enclosing ``joblib.parallel_config`` says
            (`probseg.analysis.measuring.measure`).
        follow: shows progress, such as `probseg.progress.followed`.

    Warns:
        ProbsegWarning: what reading a case warns of, W_SINGLE_RATER where cases have fewer than two raters,
            W_IDENTICAL_RATERS where two raters have the same masks throughout.

    Raises:
        ProbsegError: E_NO_CASES for no case at all, E_SCHEMA without ``info`` or where a prediction belongs to no case,
            E_ARGUMENT for a region that the label set does not have, tolerances that do not rise, or a margin that is
            not positive.
    """
    if info is None:
        if not isinstance(cases, Dataset):
            raise ProbsegError("E_SCHEMA", "analyse needs info, a DatasetInfo, when the cases are not a Dataset")
        info = cases.info
    settings = AgreementSettings(region, tuple(tolerances_mm), samples, seed, tuple(margins.items()))
    settings.checked(info.labels)
    statistics = []
    for found in measure(cases, info, settings, predictions, jobs=jobs, follow=follow):
        statistics.append(found.statistics)
        for code, message in found.warned:
            warn(code, message)
    strange = sorted(set(predictions or ()) - {s.case_id for s in statistics})
    if strange:
        raise ProbsegError("E_SCHEMA", f"a prediction is given for '{strange[0]}', but no case has this id")
    report = merge(statistics, info, settings)
    warn_of(report)
    return report


def warn_of(report: AgreementReport) -> None:
    """Warn of cases that say nothing of agreement, and of raters who are copies of one another."""
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
    for a, b in report.study.copied_repeats:
        warn(
            "W_IDENTICAL_RATERS",
            f"'{b}' has the same masks as '{a}' in every case and is no second reading; leave it out: --exclude '{b}'",
        )


def merge(
    statistics: Sequence[CaseStatistics], info: DatasetInfo, settings: AgreementSettings | None = None
) -> AgreementReport:
    """Figures over cases from what each case contributed, wherever and in whatever order that was found.

    Args:
        statistics: of every case, in the order of the dataset.
        info: the dataset.
        settings: what the cases were measured with; None for the usual ones.

    Raises:
        ProbsegError: E_NO_CASES for an empty list.
    """
    if not statistics:
        raise ProbsegError("E_NO_CASES", f"dataset '{info.name}' has no case to analyse")
    settings = settings or AgreementSettings()
    over = Over(tuple(s.patient_id for s in statistics), settings.samples, settings.seed)
    patients = np.array(over.patients)

    def mean(values: Sequence[float]) -> Interval:
        return bootstrap_mean(values, patients, settings.samples, settings.seed)

    against = [s.prediction_pairs for s in statistics]
    structures, tolerances = info.labels.structures, len(settings.tolerances_mm)
    leaves = info.labels.num_classes
    return AgreementReport(
        info=info,
        cases=tuple(statistics),
        structures=structure_figures([s.pairs for s in statistics], structures, tolerances, over),
        predictions=structure_figures(against, structures, tolerances, over) if any(against) else (),
        volumes=tuple(_volumes(statistics, k, name, mean) for k, name in enumerate(structures)),
        votes=vote_figures(statistics, (ALL_CLASSES, *structures), over),
        disagreement=kind_figures([s.pair_tables for s in statistics], over),
        cohen_kappa=mean([mean_of_known([t.cohen_kappa(leaves) for t in s.pair_tables]) for s in statistics]),
        confusion=confusions(statistics, info.stable_raters),
        identical=identical_raters(statistics),
        settings=settings,
    )


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
