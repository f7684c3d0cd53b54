"""The cases to look at: for each, what the raters drew and what every family makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.report import plots
from probseg.report.figures import panel
from probseg.report.results import Example, RunResult
from probseg.report.table import figure_text

__all__ = ["CaseView", "FamilyView", "Legend", "Panel", "Scale", "case_views"]

WIDE, NARROW = 168, 128  # pixels of a large panel and of a reading
MOST_CASES = 6
_PARTS = ("entropy", "epistemic", "ambiguity", "noise")


@dataclass(frozen=True)
class Panel:
    """One picture: PNG as a data URI, the caption under it, and what it shows in words."""

    source: str
    caption: str
    alt: str


@dataclass(frozen=True)
class FamilyView:
    """One family's panels of a case."""

    title: str
    mean: Panel
    parts: tuple[Panel, ...]
    readings: tuple[Panel, ...]
    figures: str
    repeated: bool


@dataclass(frozen=True)
class CaseView:
    """One case: the image, the share of raters, each rater's mask, then the families."""

    case_id: str
    plane: str
    image: Panel
    share: Panel
    masks: tuple[Panel, ...]
    families: tuple[FamilyView, ...]


@dataclass(frozen=True)
class Legend:
    """One class and the colour of its outline."""

    name: str
    colour: str


@dataclass(frozen=True)
class Scale:
    """What the pictures have in common: the top of the uncertainty scale in nats, and the outlines' colours."""

    top_nats: float
    ceiling_nats: float
    classes: int
    legend: tuple[Legend, ...]
    shown: int
    saved: int


def case_views(runs: Sequence[RunResult], titles: Mapping[str, str]) -> tuple[tuple[CaseView, ...], Scale | None]:
    """Views of the cases that the first run with examples saved, at most `MOST_CASES`, and their common scale."""
    with_examples = [r for r in runs if r.examples]
    if not with_examples:
        return (), None
    models = [r for r in with_examples if not r.is_raters] or with_examples
    case_ids = tuple(dict.fromkeys(c for r in models for c in r.examples or {}))
    chosen = case_ids[:MOST_CASES]
    shown = [e for r in models for c, e in (r.examples or {}).items() if c in chosen]
    classes = max(e.mean.shape[0] for e in shown)
    legend = _legend(models[0], classes)
    colours = tuple(x.colour for x in legend)
    top = plots.top_nats(shown, classes)
    views = tuple(_case(case_id, models, titles, colours, top) for case_id in chosen)
    return views, Scale(top, math.log(classes), classes, legend, len(chosen), len(case_ids))


def _legend(run: RunResult, classes: int) -> tuple[Legend, ...]:
    """Names and colours of the foreground labels, groups included, as the data set declares them."""
    labels: Mapping[str, Any] = (run.summary.get("dataset") or {}).get("labels") or {}
    entries = [*(labels.get("classes") or ())[1:]]
    entries += [g for g in labels.get("groups") or () if g.get("value") is not None]
    entries += [{"name": f"class {k}"} for k in range(len(entries) + 1, classes)]
    palette = plots.CLASS_COLOURS
    return tuple(
        Legend(str(e.get("name", "")), _colour(e.get("colour"), palette[k % len(palette)]))
        for k, e in enumerate(entries)
    )


def _colour(declared: object, default: str) -> str:
    """The declared colour where it is ``#rrggbb``: it goes into the page's style, so nothing else may."""
    text = str(declared or "")
    good = len(text) == 7 and text[0] == "#" and all(c in "0123456789abcdefABCDEF" for c in text[1:])
    return text if good else default


def _case(
    case_id: str, runs: Sequence[RunResult], titles: Mapping[str, str], colours: Sequence[str], top: float
) -> CaseView:
    having = [(r, r.examples[case_id]) for r in runs if r.examples and case_id in r.examples]
    example = having[0][1]
    shape = (int(example.image.shape[0]), int(example.image.shape[1]))
    masks = []
    for k in range(len(example.masks)):
        name = f"reading {k + 1}" if not _named(having[0][0]) else f"rater {k + 1}"
        if not example.rated[k].any():
            continue
        drawn = int(((example.masks[k] > 0) & example.rated[k]).sum())
        masks.append(
            Panel(
                panel(partial(plots.rater_mask, example, rater=k, colours=colours), shape, WIDE),
                f"{name}" + ("" if drawn else ": empty"),
                f"{name} of case {case_id}: {drawn} pixels drawn",
            )
        )
    plane = "" if example.slice_index is None else f"slice {example.slice_index + 1} of {example.slices}"
    return CaseView(
        case_id=case_id,
        plane=plane,
        image=Panel(panel(partial(plots.image, example), shape, WIDE), "image", f"image of case {case_id}"),
        share=Panel(
            panel(partial(plots.rater_share, example), shape, WIDE),
            "share of raters",
            f"share of the raters who drew each pixel of case {case_id}",
        ),
        masks=tuple(masks),
        families=tuple(_family(r, e, titles[str(r.folder)], colours, top) for r, e in having),
    )


def _named(run: RunResult) -> bool:
    raters = (run.summary.get("dataset") or {}).get("raters")
    return isinstance(raters, Mapping) and raters.get("stable") is True


def _family(run: RunResult, example: Example, title: str, colours: Sequence[str], top: float) -> FamilyView:
    shape = (int(example.image.shape[0]), int(example.image.shape[1]))
    mean = example.foreground
    parts = []
    for part in _PARTS:
        values = example.maps[part]
        caption = part if values.max() >= 0.005 else f"{part}: none"
        words = f"{part} of {title} in case {example.case_id}: at most {figure_text(float(values.max()), 2)} nats"
        parts.append(
            Panel(panel(partial(plots.uncertainty, example, part=part, top_nats=top), shape, WIDE), caption, words)
        )
    distinct = _period(example.readings)
    readings = tuple(
        Panel(
            panel(partial(plots.reading, example, index=k, colours=colours), shape, NARROW),
            str(k + 1),
            f"reading {k + 1} of {title} in case {example.case_id}: {int((example.readings[k] > 0).sum())} pixels",
        )
        for k in range(distinct)
    )
    return FamilyView(
        title=title,
        mean=Panel(
            panel(partial(plots.mean_probability, example), shape, WIDE),
            "mean probability",
            f"mean probability of {title} in case {example.case_id}: at most {figure_text(float(mean.max()), 2)}",
        ),
        parts=tuple(parts),
        readings=readings,
        figures=_case_figures(run, example.case_id),
        repeated=distinct == 1,
    )


def _period(readings: NDArray[np.uint8]) -> int:
    """After how many the readings repeat: a run with fewer draws than places fills them in turn."""
    return next(d for d in range(1, len(readings) + 1) if (readings[d:] == readings[:-d]).all())


def _case_figures(run: RunResult, case_id: str) -> str:
    """GED and matched IoU of this one case, where the run has them."""
    if run.cases is None or case_id not in run.cases.case_ids:
        return ""
    k = run.cases.case_ids.index(case_id)
    wanted = (("ged_v", "GED (V)"), ("hm_iou", "HM-IoU"))
    known = [(h, float(run.cases.metrics[m][k])) for m, h in wanted if m in run.cases.metrics]
    return ", ".join(f"{heading} {figure_text(v, 2)}" for heading, v in known if np.isfinite(v))
