"""Raters, volumes, the human ceiling and planning as tidy tables, one function a file of ``probseg agreement``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from probseg.analysis.bootstrap import Interval
from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.ceiling import Ceiling
from probseg.analysis.drawn_volumes import DrawnVolumes, VolumeCorrelation, VolumePair
from probseg.analysis.outliers import MOST_SCORE, Outlier
from probseg.analysis.planning import Plan
from probseg.analysis.rater_figures import RaterCard
from probseg.analysis.repeats import Repeatability
from probseg.analysis.second_readings import Expectation, SecondReadings
from probseg.analysis.structure_figures import StructureFigures
from probseg.analysis.tables import Table, ends, interval_columns
from probseg.analysis.vote_figures import VoteFigures

__all__ = [
    "bland_altman_table",
    "ceiling_table",
    "correlation_table",
    "outlier_table",
    "plan_table",
    "rater_confusion_table",
    "rater_table",
    "repeat_table",
    "second_reading_table",
    "site_table",
    "volume_table",
]

Site = tuple[Sequence[CaseStatistics], Sequence[StructureFigures], Sequence[VoteFigures], Sequence[StructureFigures]]
"""Of one site: its cases, pairs of raters by structure, all raters by structure, and raters against the prediction."""


_RATER = (
    "dice",
    "consensus_dice",
    "sensitivity",
    "specificity",
    "staple_sensitivity",
    "staple_specificity",
    "volume_log_ratio",
)
_REPEAT = (
    "dice",
    "dice_between",
    "dice_difference",
    "coefficient_ml",
    "coefficient_between_ml",
    "coefficient_percent",
    "coefficient_between_percent",
)


def site_table(sites: Mapping[str, Site]) -> Table:
    """One row a site and class or group, all classes together first; the prediction's Dice where there is one."""
    together = ("complete_agreement", "rater_entropy", "fleiss_kappa", "krippendorff_alpha")
    pairs = ("dice", "iou", "surface_distance_mean_mm", "surface_distance_95_mm")
    nothing = Interval(math.nan, math.nan, math.nan, 0)
    rows: list[tuple[object, ...]] = []
    for site, (cases, structures, votes, predictions) in sites.items():
        named = {s.structure: s for s in structures}
        model = {s.structure: s.dice for s in predictions}
        patients = len({c.patient_id for c in cases})
        for vote in votes:
            own = named.get(vote.structure)
            figures = [nothing if own is None else getattr(own, name) for name in pairs]
            figures += [getattr(vote, name) for name in together]
            figures += [model.get(vote.structure, nothing)] if any(p for *_, p in sites.values()) else []
            rows.append((site, vote.structure, len(cases), patients, *(cell for f in figures for cell in ends(f))))
    names = (*pairs, *together, *(("model_dice",) if any(p for *_, p in sites.values()) else ()))
    return Table(("site", "class", "cases", "patients", *interval_columns(names)), rows)


def volume_table(volumes: DrawnVolumes) -> Table:
    """One row a case, rater (or prediction), and class or group; percent of the lung where lung is labelled.

    The row of well-aerated lung has the percent well-aerated lung.
    """
    ml, percent = volumes.ml, volumes.percent_of_lung
    labelled = not np.isnan(percent).all()
    rows: list[tuple[object, ...]] = []
    for i, (case_id, site) in enumerate(zip(volumes.case_ids, volumes.sites, strict=True)):
        for p in np.flatnonzero(volumes.present[i]).tolist():
            for k, structure in enumerate(volumes.structures):
                figures = (ml[i, p, k], percent[i, p, k]) if labelled else (ml[i, p, k],)
                rows.append((case_id, site, volumes.parties[p], structure, *figures))
    columns = ("case_id", "site", "rater", "class", "volume_ml", "percent_of_lung")
    return Table(columns if labelled else columns[:-1], rows)


def rater_table(cards: Sequence[RaterCard]) -> Table:
    """One row a rater, and class or group."""
    rows: list[tuple[object, ...]] = []
    for card in cards:
        for figures in card.structures:
            cells = [cell for name in _RATER for cell in ends(getattr(figures, name))]
            rows.append((card.rater, figures.structure, *cells))
    return Table(("rater", "class", *interval_columns(_RATER)), rows)


def rater_confusion_table(cards: Sequence[RaterCard]) -> Table:
    """One row a rater, truth (majority of the others, or STAPLE), true class and class called."""
    return Table(
        ("rater", "truth", "class", "called", *interval_columns(("share",))),
        [(c.rater, x.truth, x.is_class, x.called, *ends(x.share)) for c in cards for x in c.confusion],
    )


def correlation_table(correlations: Sequence[VolumeCorrelation]) -> Table:
    """One row a class or group, measure and kind of intraclass correlation."""
    rows: list[tuple[object, ...]] = []
    for c in correlations:
        for kind, found in (("1,1", c.one_way), ("2,1", c.absolute), ("3,1", c.consistency)):
            if found is not None:
                rows.append((c.structure, c.measure, kind, *found))
    return Table(("class", "measure", "kind", "icc", "icc_low", "icc_high", "n", "raters", "incomplete"), rows)


def bland_altman_table(pairs: Sequence[VolumePair]) -> Table:
    """One row a class or group, measure and two parties: bias, limits and slope of a less b with their intervals."""
    names = ("bias", "limit_low", "limit_high", "slope")
    columns = [f"{name}{end}" for name in names for end in ("", "_from", "_to")]
    rows: list[tuple[object, ...]] = []
    for p in pairs:
        a = p.agreement
        cells = (a.bias, *a.bias_interval, a.low, *a.low_interval, a.high, *a.high_interval, a.slope, *a.slope_interval)
        rows.append((p.structure, p.measure, p.party_a, p.party_b, *cells, a.n, a.incomplete))
    return Table(("class", "measure", "rater_a", "rater_b", *columns, "n", "incomplete"), rows)


def outlier_table(outliers: Sequence[Outlier]) -> Table:
    """One row a rater, case or reading that agrees less than the rest, with the threshold of its score."""
    return Table(
        ("kind", "case_id", "rater", "value", "median", "score", "threshold"),
        [(o.kind, o.case_id, o.rater, o.value, o.median, o.score, -MOST_SCORE) for o in outliers],
    )


def repeat_table(repeats: Sequence[Repeatability]) -> Table:
    """One row a rater who repeated readings (empty: all together), and class or group."""
    return Table(
        ("rater", "class", *interval_columns(_REPEAT)),
        [(r.rater, r.structure, *(cell for name in _REPEAT for cell in ends(getattr(r, name)))) for r in repeats],
    )


def ceiling_table(ceilings: Sequence[Ceiling]) -> Table:
    """One row a figure, class or group, and held-out rater (empty: each in turn)."""
    names = interval_columns(("raters", "model", "difference", "williams_index"))
    nothing = Interval(math.nan, math.nan, math.nan, 0)
    rows: list[tuple[object, ...]] = []
    for c in ceilings:
        williams = nothing if c.williams is None else c.williams
        cells = [cell for interval in (c.raters, c.model, c.difference, williams) for cell in ends(interval)]
        rows.append((c.figure, c.structure, c.held_out, c.better, *cells, c.margin, c.verdict))
    return Table(("figure", "class", "held_out", "better", *names, "margin", "verdict"), rows)


def plan_table(plans: Sequence[Plan]) -> Table:
    """One row a figure, class or group, and scope: what would halve the interval."""
    columns = ("patients", "raters", "half_width", "patient_share", "rater_share", "rest_share", "patients_needed")
    more = ("raters_needed", "fewest_patients", "fewest_raters", "resampled_patients", "resampled_raters")
    rows: list[tuple[object, ...]] = []
    for p in plans:
        shares = (p.half_width, p.patient_share, p.rater_share, p.rest_share)
        fewest = (None, None) if p.needed.fewest is None else p.needed.fewest
        needed = (p.needed.patients, p.needed.raters, *fewest, p.resampled_patients, p.resampled_raters)
        rows.append((p.figure, p.structure, p.scope, p.value, p.patients, p.raters, *shares, *needed))
    return Table(("figure", "class", "scope", "value", *columns, *more), rows)


def second_reading_table(found: SecondReadings) -> Table:
    """One row a case, the one that gains most from another reading first."""
    unit = found.unit
    names = ("expected", "expected_low", "expected_high", "gain")
    own = [f"{name}_{unit}" for name in ("drawn", "differing", *names)]
    with_model = [f"{name}_with_model_{unit}" for name in names]
    rows: list[tuple[object, ...]] = [
        (c.case_id, c.site, c.readings, c.drawn, c.differing, *_cells(c.alone), *_cells(c.with_model))
        for c in found.cases
    ]
    return Table(("case_id", "site", "readings", *own, "rank", *with_model, "rank_with_model"), rows)


def _cells(expectation: Expectation | None) -> tuple[float | int | None, ...]:
    if expectation is None:
        return (None,) * 5
    e = expectation
    return e.differing, e.low, e.high, e.gain, e.rank
