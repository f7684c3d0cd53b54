"""What was measured of cases as tables of plain values, one function a file of ``probseg agreement``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from probseg.analysis.case_agreement import CaseStatistics
from probseg.analysis.confusion import Confusion
from probseg.analysis.disagreement import KINDS
from probseg.analysis.held_out import ALL_CLASSES
from probseg.analysis.known import mean_of_known
from probseg.analysis.tables import Table
from probseg.labels import LabelSet

__all__ = ["case_table", "class_table", "confusion_table", "pairwise_table"]


def pairwise_table(cases: Sequence[CaseStatistics], tolerances_mm: Sequence[float]) -> Table:
    """One row a case, pair of raters, and class or group."""
    distances = ("surface_distance_mean_mm", "surface_distance_95_mm")
    directed = tuple(f"{d.removesuffix('_mm')}_{way}_mm" for d in distances for way in ("ab", "ba"))
    tolerances = tuple(f"surface_dice_{t:g}_mm" for t in tolerances_mm)
    kinds = ("class_voxels", "presence_voxels", "extent_voxels")
    columns = ("case_id", "site", "rater_a", "rater_b", "class", "dice", "iou", *distances, *directed, *tolerances)
    rows: list[tuple[object, ...]] = []
    for c in cases:
        for p in (*c.pairs, *c.prediction_pairs):
            ways = (p.surface_mean_ab_mm, p.surface_mean_ba_mm, p.surface_95_ab_mm, p.surface_95_ba_mm)
            figures = (p.dice, p.iou, p.surface_mean_mm, p.surface_95_mm, *ways, *p.surface_dice, p.cohen_kappa)
            voxels = (p.class_voxels, p.presence_voxels, p.extent_voxels)
            rows.append((c.case_id, c.site, p.rater_a, p.rater_b, p.structure, *figures, *voxels))
    return Table((*columns, "cohen_kappa", *kinds), rows)


def case_table(cases: Sequence[CaseStatistics], labels: LabelSet) -> Table:
    """One row a case; ``dice_mean`` is over pairs, and classes and groups that any of the pair drew."""
    columns = ("case_id", "patient_id", "site", "raters", "complete_agreement", "rater_entropy", "region_voxels")
    beyond = ("undecided_voxels", "dice_mean", "cohen_kappa", "fleiss_kappa", "krippendorff_alpha")
    rows: list[tuple[object, ...]] = []
    for c in cases:
        figures = (c.complete_agreement, c.rater_entropy, c.region_voxels, c.undecided_voxels)
        kappas = [t.cohen_kappa(labels.num_classes) for t in c.pair_tables]
        chance = (mean_of_known(kappas), float(c.votes.fleiss_kappa[0]), float(c.votes.krippendorff_alpha[0]))
        kinds = [sum(int(t.kinds[k]) for t in c.pair_tables) for k in range(len(KINDS))]
        names = (c.case_id, c.patient_id, c.site, len(c.raters))
        rows.append((*names, *figures, mean_of_known([p.dice for p in c.pairs]), *chance, *kinds))
    return Table((*columns, *beyond, *(f"{kind}_voxels" for kind in KINDS)), rows)


def class_table(cases: Sequence[CaseStatistics], labels: LabelSet) -> Table:
    """One row a case and class or group, all classes together first: what all raters of the case have in common."""
    figures = ("complete_agreement", "rater_entropy", "fleiss_kappa", "krippendorff_alpha")
    rows: list[tuple[object, ...]] = []
    for c in cases:
        columns = [getattr(c.votes, name).tolist() for name in figures]
        voxels = (c.votes.union_voxels.tolist(), c.votes.region_voxels.tolist())
        for structure, *values in zip((ALL_CLASSES, *labels.structures), *columns, *voxels, strict=True):
            rows.append((c.case_id, c.site, structure, *values))
    return Table(("case_id", "site", "class", *figures, "union_voxels", "region_voxels"), rows)


def confusion_table(confusion: Sequence[Confusion], labels: LabelSet) -> Table:
    """One row a pair of raters and pair of labels: voxels that one calls so and the other so, and their share.

    The share is of the voxels that ``rater_a`` calls ``class_a``. Where names are not persons there are no raters but
    ``any`` and ``another``, and every pair is counted both ways.
    """
    names = labels.label_names
    rows: list[tuple[object, ...]] = []
    for table in confusion:
        raters = (table.rater_a or "any", table.rater_b or "another")
        for a, voxels in zip(names, table.voxels.tolist(), strict=True):
            total = sum(voxels)
            rows += [(*raters, a, b, n, n / total if total else math.nan) for b, n in zip(names, voxels, strict=True)]
    return Table(("rater_a", "rater_b", "class_a", "class_b", "voxels", "share"), rows)
