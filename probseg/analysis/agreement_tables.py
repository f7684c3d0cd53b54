"""An agreement report as tables: columns and rows of plain values, one function a file of ``probseg agreement``."""

from __future__ import annotations

import math
from typing import NamedTuple

from probseg.analysis.agreement import AgreementReport

__all__ = ["Table", "case_table", "pairwise_table", "rater_table", "volume_table"]


class Table(NamedTuple):
    """Names of the columns, and the rows."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


def pairwise_table(report: AgreementReport) -> Table:
    """One row a case, pair of raters, and class or group."""
    columns = ("case_id", "site", "rater_a", "rater_b", "class", "dice", "iou")
    return Table(
        (*columns, "surface_distance_mean_mm", "surface_distance_95_mm"),
        [
            (
                c.case_id,
                c.site,
                p.rater_a,
                p.rater_b,
                p.structure,
                p.dice,
                p.iou,
                p.surface_mean_mm,
                p.surface_95_mm,
            )
            for c in report.cases
            for p in (*c.pairs, *c.prediction_pairs)
        ],
    )


def case_table(report: AgreementReport) -> Table:
    """One row a case; ``dice_mean`` is over pairs, and classes and groups that any of the pair drew."""
    columns = ("case_id", "patient_id", "site", "raters", "complete_agreement", "rater_entropy", "region_voxels")
    rows: list[tuple[object, ...]] = []
    for c in report.cases:
        dice = [p.dice for p in c.pairs if not math.isnan(p.dice)]
        mean = sum(dice) / len(dice) if dice else math.nan
        figures = (c.complete_agreement, c.rater_entropy, c.region_voxels, c.undecided_voxels, mean)
        rows.append((c.case_id, c.patient_id, c.site, len(c.raters), *figures))
    return Table((*columns, "undecided_voxels", "dice_mean"), rows)


def volume_table(report: AgreementReport) -> Table:
    """One row a case, rater, and class or group."""
    return Table(
        ("case_id", "site", "rater", "class", "volume_ml"),
        [
            (c.case_id, c.site, rater, structure, size * c.voxel_volume_ml)
            for c in report.cases
            for rater in c.raters
            for structure, size in zip(report.info.labels.structures, c.sizes_voxels[rater], strict=True)
        ],
    )


def rater_table(report: AgreementReport) -> Table:
    """One row a rater and class or group; no rows where raters have no stable identity."""
    names = [f"{figure}{end}" for figure in ("dice", "volume_log_ratio") for end in ("", "_low", "_high", "_n")]
    rows: list[tuple[object, ...]] = []
    for r in report.raters:
        d, v = r.dice, r.volume_log_ratio
        rows.append((r.rater, r.structure, d.value, d.low, d.high, d.n, v.value, v.low, v.high, v.n))
    return Table(("rater", "class", *names), rows)
