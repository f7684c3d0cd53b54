"""A dataset in figures, after every case was read: who read what, how much was drawn, and what looks wrong."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from probseg.checking.finding import Finding
from probseg.errors import warn
from probseg.manifest import open_dataset
from probseg.progress import followed
from probseg.records import SPLITS, Dataset
from probseg.splits import check_leaks, patients_of
from probseg.survey import CaseFacts, survey

__all__ = ["check_dataset"]


def check_dataset(path: Path) -> Finding:
    """Open a dataset and read every case with every mask.

    Warns W_SINGLE_RATER, W_IDENTICAL_RATERS, W_DUPLICATE_IMAGE, W_FULL_MASK and W_RATER_NAME_COLLISION.

    Raises:
        ProbsegError: the codes of `probseg.manifest.open_dataset`, of reading a case, and E_SPLIT_LEAK.
    """
    dataset = open_dataset(path)
    facts = list(followed(survey(dataset), len(dataset)))
    check_leaks(facts)
    patients_of(facts)
    _warn_of_single_raters(facts)
    _warn_of_identical_raters(facts, dataset)
    figures = {
        "kind": "dataset",
        "name": dataset.info.name,
        "dimensions": dataset.info.dimensions,
        "cases": len(facts),
        "patients": len(dataset.patients),
        "splits": _splits(facts),
        "sites": {site: _of_site(facts, site) for site in dataset.sites},
        "raters": {rater: _of_rater(facts, rater) for rater in dataset.raters},
        "raters_per_case": dict(sorted(Counter(str(len(f.readings)) for f in facts).items())),
        "classes": {name: _of_class(facts, dataset, name) for name in dataset.info.labels.structures},
    }
    fits = all(not f.record.split for f in facts) and dataset.path is not None and (dataset.path / "cases.csv").exists()
    following = f"probseg split {path}" if fits else f"probseg agreement {path} --out agreement"
    return Finding(figures, _lines(figures, dataset), following)


def _warn_of_single_raters(facts: Sequence[CaseFacts]) -> None:
    alone = [f.record.case_id for f in facts if len(f.readings) == 1]
    if alone:
        warn(
            "W_SINGLE_RATER",
            f"{len(alone)} of {len(facts)} cases have one rater, such as '{alone[0]}'; agreement is not defined there",
        )


def _warn_of_identical_raters(facts: Sequence[CaseFacts], dataset: Dataset) -> None:
    """One drawing under two names.

    Two raters who both found nothing do agree, unless it is one file. On a small single image they may also draw the
    same by chance, so there it counts when they never differ.
    """
    background = dataset.info.labels.admissible[:, 0]
    met: dict[tuple[str, str], list[str]] = {}
    same: dict[tuple[str, str], list[str]] = {}
    for f in facts:
        files = {r.rater: r.mask for r in f.record.readings}
        for k, b in enumerate(f.readings):
            for a in f.readings[:k]:
                pair, one_file = (a.rater, b.rater), files[a.rater] == files[b.rater]
                if one_file or np.asarray(a.voxels)[~background].any() or np.asarray(b.voxels)[~background].any():
                    met.setdefault(pair, []).append(f.record.case_id)
                    if one_file or a.sha256 == b.sha256:
                        same.setdefault(pair, []).append(f.record.case_id)
    chance = dataset.info.dimensions == 2
    found = {pair: cases for pair, cases in same.items() if not chance or len(cases) == len(met[pair])}
    if found:
        first, second = next(iter(found))
        example = found[first, second][0]
        count = len({case for cases in found.values() for case in cases})
        warn(
            "W_IDENTICAL_RATERS",
            f"in {count} of {len(facts)} cases two raters have the same mask voxel for voxel, such as '{first}' and "
            f"'{second}' in '{example}'; if one drawing stands under two names, agreement is too high",
        )


def _splits(facts: Sequence[CaseFacts]) -> dict[str, dict[str, int]]:
    out = {}
    for split in (*SPLITS, ""):
        chosen = [f for f in facts if f.record.split == split]
        if chosen:
            patients = len({f.record.patient_id for f in chosen})
            out[split or "none"] = {"cases": len(chosen), "patients": patients}
    return out


def _of_site(facts: Sequence[CaseFacts], site: str) -> dict[str, Any]:
    chosen = [f for f in facts if f.record.site == site]
    known = [f.spacing_mm for f in chosen if f.spacing_mm is not None]
    return {
        "cases": len(chosen),
        "patients": len({f.record.patient_id for f in chosen}),
        "foreground": sum(f.foreground for f in chosen),
        "shape_min": [min(n) for n in zip(*(f.shape for f in chosen), strict=True)],
        "shape_max": [max(n) for n in zip(*(f.shape for f in chosen), strict=True)],
        "spacing_mm_min": [min(s) for s in zip(*known, strict=True)] if known else None,
        "spacing_mm_max": [max(s) for s in zip(*known, strict=True)] if known else None,
    }


def _of_rater(facts: Sequence[CaseFacts], rater: str) -> dict[str, Any]:
    readings = [r for f in facts for r in f.readings if r.rater == rater]
    empty = sum(1 for f in facts for r in f.readings if r.rater == rater and sum(r.voxels[1:]) == 0)
    return {
        "read": len(readings),
        "missing": len(facts) - len(readings),
        "partly_unrated": sum(0 < r.rated < 1 for r in readings),
        "empty": empty,
    }


def _of_class(facts: Sequence[CaseFacts], dataset: Dataset, name: str) -> dict[str, Any]:
    """Over all readings in which something of the class was drawn."""
    inside = dataset.info.labels.membership(name) == 1
    drawn = [(int(np.asarray(r.voxels)[inside].sum()), f.voxel_volume_ml) for f in facts for r in f.readings]
    drawn = [(n, ml) for n, ml in drawn if n > 0]
    volumes = [n * ml for n, ml in drawn if math.isfinite(ml)]
    return {
        "readings": len(drawn),
        "median_voxels": median(n for n, _ in drawn) if drawn else 0,
        "median_ml": median(volumes) if volumes else None,
        "max_ml": max(volumes) if volumes else None,
    }


def _lines(figures: dict[str, Any], dataset: Dataset) -> list[str]:
    """Tables as rich draws them, for people."""
    from rich.console import Console
    from rich.table import Table

    def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
        made = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for k, column in enumerate(columns):
            made.add_column(column, justify="left" if k == 0 else "right")
        for row in rows:
            made.add_row(*(_text(cell) for cell in row))
        return made

    def span(low: Sequence[float] | None, high: Sequence[float] | None) -> str:
        if low is None or high is None:
            return "-"
        return " x ".join(f"{a:.4g}" if a == b else f"{a:.4g}-{b:.4g}" for a, b in zip(low, high, strict=True))

    splits = [(k, v["patients"], v["cases"]) for k, v in figures["splits"].items()]
    sites = [
        (
            k or "(no name)",
            v["patients"],
            v["cases"],
            v["foreground"],
            span(v["shape_min"], v["shape_max"]),
            span(v["spacing_mm_min"], v["spacing_mm_max"]),
        )
        for k, v in figures["sites"].items()
    ]
    raters = [(k, v["read"], v["missing"], v["partly_unrated"], v["empty"]) for k, v in figures["raters"].items()]
    classes = [
        (k, v["readings"], v["median_voxels"], v["median_ml"], v["max_ml"]) for k, v in figures["classes"].items()
    ]
    written = io.StringIO()
    console = Console(width=120, file=written, color_system=None, highlight=False, markup=False)
    console.print(
        f"{figures['name']}: {figures['cases']} cases of {figures['patients']} patients, {figures['dimensions']}-D, "
        f"{len(figures['raters'])} raters"
        + ("" if dataset.info.stable_raters else " (slots: a name is not the same person in every case)")
    )
    for made in (
        table("", ("split", "patients", "cases"), splits),
        table("", ("site", "patients", "cases", "with foreground", "voxels", "spacing mm"), sites),
        table("", ("rater", "read", "missing", "partly unread", "found nothing"), raters),
        table("", ("class", "readings", "median voxels", "median mL", "largest mL"), classes),
    ):
        console.print(made)
    return [line.rstrip() for line in written.getvalue().splitlines()]


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    text = f"{cell:.4g}" if isinstance(cell, float) else str(cell)
    return "".join(c if c.isprintable() else " " for c in text)
