"""All figures of raters, volumes, the human ceiling and planning: a study of one dataset, each found when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from probseg.analysis import figure_tables
from probseg.analysis.agreement_settings import AgreementSettings
from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.ceiling import ANYBODY, Ceiling, ceiling_sentence, human_ceiling
from probseg.analysis.consensus import ConsensusCounts, against_others
from probseg.analysis.drawn_volumes import (
    DrawnVolumes,
    VolumeCorrelation,
    VolumePair,
    drawn_volumes,
    volume_correlations,
    volume_pairs,
)
from probseg.analysis.held_out import ALL_CLASSES, HeldOut, held_out
from probseg.analysis.outliers import Outlier, consensus_dice, find_outliers
from probseg.analysis.planning import THESE_RATERS, Plan, plan_sentence, plans
from probseg.analysis.rater_figures import RaterCard, rater_cards
from probseg.analysis.repeats import Repeatability, repeatability
from probseg.analysis.second_readings import SecondReadings, second_readings
from probseg.analysis.tables import Table, plain
from probseg.analysis.volume_ceiling import volume_ceiling
from probseg.records import DatasetInfo

__all__ = ["UNSTABLE", "Study", "identical_raters"]

UNSTABLE = (
    "Raters have no stable identity here: a name is a position within a case and not a person, so no figure of a "
    "single rater is given."
)


@dataclass(frozen=True, eq=False)
class Study:
    """Figures that follow from what was measured of the cases.

    Attributes:
        info: the dataset.
        cases: what each case contributed, in order.
        settings: region, tolerances, margins and the bootstrap.
    """

    info: DatasetInfo
    cases: tuple[CaseStatistics, ...]
    settings: AgreementSettings

    @cached_property
    def _consensus(self) -> tuple[ConsensusCounts, ...]:
        return tuple(against_others(c, self.info.labels, self.settings.region) for c in self.cases)

    @cached_property
    def refused(self) -> str | None:
        """Why no figure of a single rater is given; None where they are."""
        return None if self.info.stable_raters else UNSTABLE

    @cached_property
    def raters(self) -> tuple[RaterCard, ...]:
        """A card a rater; empty where raters have no stable identity."""
        if not self.info.stable_raters:
            return ()
        s = self.settings
        return rater_cards(self.cases, self._consensus, self.info.labels, s.region, s.samples, s.seed)

    @cached_property
    def outliers(self) -> tuple[Outlier, ...]:
        """Raters, cases and readings that agree less than the rest."""
        names = sorted({r for c in self.cases for r in c.raters})
        dice = consensus_dice(self._consensus, names)
        return find_outliers([c.case_id for c in self.cases], names, dice, self.info.stable_raters)

    @cached_property
    def repeats(self) -> tuple[Repeatability, ...]:
        """Raters against themselves; empty where nobody repeated a reading."""
        return repeatability(self.cases, self.info.labels, self.settings.samples, self.settings.seed)

    @cached_property
    def copied_repeats(self) -> tuple[tuple[str, str], ...]:
        """Readings of one person that are copies in every case, and so no repeats."""
        return identical_raters([readings for c in self.cases for readings in c.repeats])

    @cached_property
    def volumes(self) -> DrawnVolumes:
        """What every party drew."""
        return drawn_volumes(self.cases, self.info.labels)

    @cached_property
    def correlations(self) -> tuple[VolumeCorrelation, ...]:
        """Intraclass correlations of volumes over cases."""
        return volume_correlations(self.volumes, self.info.stable_raters)

    @cached_property
    def volume_pairs(self) -> tuple[VolumePair, ...]:
        """Bland-Altman of every two parties."""
        return volume_pairs(self.volumes, self.info.stable_raters)

    @cached_property
    def held_out(self) -> HeldOut:
        """Every figure of every case with one rater held out."""
        s = self.settings
        return held_out(self.cases, self.info.labels, self.info.stable_raters, s.region, s.tolerances_mm)

    @cached_property
    def ceiling(self) -> tuple[Ceiling, ...]:
        """The model beside the raters; empty without predictions."""
        if not any(c.predicted for c in self.cases):
            return ()
        s, patients = self.settings, [c.patient_id for c in self.cases]
        stable, margins = self.info.stable_raters, dict(s.margins)
        found = human_ceiling(self.held_out, patients, stable, margins, s.samples, s.seed, s.tolerances_mm)
        return (*found, *(volume_ceiling(self.volumes, margins, s.samples, s.seed) if stable else ()))

    @cached_property
    def plans(self) -> tuple[Plan, ...]:
        """How many more patients or raters would halve an interval."""
        s = self.settings
        return plans(self.cases, self.info.labels, self.info.stable_raters, s.region, min(s.samples, 400), s.seed)

    @cached_property
    def second_readings(self) -> SecondReadings:
        """Which cases gain most from another reading."""
        entropy = {c.case_id: c.predicted_entropy_voxels for c in self.cases}
        known = {case_id: value for case_id, value in entropy.items() if value == value}
        return second_readings(self.cases, self.info.labels, known)

    def tables(self) -> dict[str, Table]:
        """Every table by the name of its file; one that has no row to give is left out."""
        made = {
            "volumes": figure_tables.volume_table(self.volumes),
            "icc": figure_tables.correlation_table(self.correlations),
            "bland_altman": figure_tables.bland_altman_table(self.volume_pairs),
            "raters": figure_tables.rater_table(self.raters),
            "raters_confusion": figure_tables.rater_confusion_table(self.raters),
            "repeats": figure_tables.repeat_table(self.repeats),
            "outliers": figure_tables.outlier_table(self.outliers),
            "ceiling": figure_tables.ceiling_table(self.ceiling),
            "planning": figure_tables.plan_table(self.plans),
            "second_readings": figure_tables.second_reading_table(self.second_readings),
        }
        return {name: table for name, table in made.items() if table.rows}

    def sentences(self) -> list[str]:
        """What these figures say, for clinicians: one statement each."""
        return [*_outlier_sentences(self.outliers), *_repeat_sentences(self.repeats), *self._ceiling(), *self._plan()]

    def _ceiling(self) -> list[str]:
        rows = [c for c in self.ceiling if c.figure == "dice" and c.held_out == ANYBODY]
        return [ceiling_sentence(c) for c in _of_interest(rows, self.info.labels.structures)]

    def _plan(self) -> list[str]:
        """Of kappa and of the bias in volume, each in one structure and in both scopes."""
        chosen = []
        for figure in ("fleiss_kappa", "volume_log_ratio"):
            rows = [p for p in self.plans if p.figure == figure]
            structure = next((p.structure for p in rows if p.structure in (ALL_CLASSES, "opacity")), None)
            rows = [p for p in rows if p.structure == (structure or rows[0].structure)]
            # Where raters add nothing, both scopes are one.
            chosen += [p for p in rows if p.scope == THESE_RATERS or p.rater_share > 0]
        return [plan_sentence(p) for p in chosen]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; what is undefined is None."""
        return {
            "raters_confusion": plain([c for card in self.raters for c in _cells_of(card)]) or None,
            "raters_refused": self.refused,
            "outliers": plain(self.outliers),
            "repeats": plain(self.repeats) or None,
            "icc": plain(self.correlations),
            "bland_altman": plain(self.volume_pairs),
            "ceiling": plain([c for c in self.ceiling if c.held_out == ANYBODY]) or None,
            "planning": plain(self.plans),
            "second_readings": plain(self.second_readings),
        }


def identical_raters(statistics: Sequence[CaseStatistics]) -> tuple[tuple[str, str], ...]:
    """Pairs of raters who are the same and not empty somewhere, and different nowhere."""
    same = {pair for s in statistics for pair in s.identical}
    return tuple(sorted(same - {pair for s in statistics for pair in s.different}))


def _cells_of(card: RaterCard) -> list[dict[str, Any]]:
    return [{"rater": card.rater, **plain(cell)} for cell in card.confusion]


def _of_interest(rows: Sequence[Ceiling], structures: Sequence[str]) -> list[Ceiling]:
    """One row for the terminal: opacity where there is one, else the structure that is defined in most cases."""
    opacity = [c for c in rows if c.structure == "opacity"]
    if opacity or not rows:
        return opacity
    return [max(rows, key=lambda c: (c.difference.n, -structures.index(c.structure)))]


def _outlier_sentences(outliers: Sequence[Outlier]) -> list[str]:
    out = []
    for kind, words in (("rater", "raters"), ("case", "cases"), ("reading", "readings")):
        found = [o for o in outliers if o.kind == kind]
        if found:
            names = [" of ".join(x for x in (o.rater, o.case_id) if x) for o in found[:3]]
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            out.append(f"Outlying {words}, to be looked at: {', '.join(names)}{more}; outliers.csv says by how much.")
    return out


def _repeat_sentences(repeats: Sequence[Repeatability]) -> list[str]:
    rows = [r for r in repeats if not r.rater and r.dice.n]
    if not rows:
        return []
    r = max(rows, key=lambda row: row.dice.n)
    return [
        f"On {r.structure}, one reader's two readings overlap with a mean Dice of {r.dice.value:.3f}, and two readers' "
        f"with {r.dice_between.value:.3f} in the same cases."
    ]
