"""The cases to look at: for each, what the raters drew and what every family makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.report import plots
from probseg.report.figures import panel
from probseg.report.plots.style import hex_colour, line_of
from probseg.report.results import Example, RunResult
from probseg.report.sections.worst import ShownCase
from probseg.report.table import figure_text

__all__ = ["CaseView", "FamilyView", "Legend", "Panel", "Scale", "case_views", "worst_views"]

WIDE, NARROW = 168, 128  # pixels of a large panel and of a reading
MOST_CASES = 6
_PARTS = ("entropy", "epistemic", "ambiguity", "noise")


@dataclass(frozen=True)
class Legend:
    """One class and the colour of its outline."""

    name: str
    colour: str


@dataclass(frozen=True)
class Panel:
    """One picture: PNG as a data URI, the caption under it, and what it shows in words."""

    source: str
    caption: str
    alt: str
    legend: tuple[Legend, ...] = ()


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
    """One case: the image, the share of raters, all outlines, each rater's mask, then the families.

    ``anchor`` is its identifier on the page and ``row`` that of its row in the table of cases, if it has one; ``why``
    says what it stands for.
    """

    case_id: str
    plane: str
    image: Panel
    share: Panel
    contours: Panel
    masks: tuple[Panel, ...]
    families: tuple[FamilyView, ...]
    anchor: str = ""
    row: str = ""
    why: str = ""


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
    legend = _legend(models[0].summary.get("dataset") or {}, classes)
    colours = tuple(x.colour for x in legend)
    top = plots.top_nats(shown, classes)
    views = tuple(_case(case_id, models, titles, colours, top) for case_id in chosen)
    return views, Scale(top, math.log(classes), classes, legend, len(chosen), len(case_ids))


def _legend(about: Mapping[str, Any], classes: int) -> tuple[Legend, ...]:
    """Names and colours of the foreground labels, groups included, as the data set declares them."""
    labels: Mapping[str, Any] = about.get("labels") or {}
    entries = [*(labels.get("classes") or ())[1:]]
    entries += [g for g in labels.get("groups") or () if g.get("value") is not None]
    entries += [{"name": f"class {k}"} for k in range(len(entries) + 1, classes)]
    palette = plots.CLASS_COLOURS
    return tuple(
        Legend(str(e.get("name", "")), hex_colour(e.get("colour"), palette[k % len(palette)]))
        for k, e in enumerate(entries)
    )


def worst_views(shown: Sequence[ShownCase], titles: Mapping[str, str]) -> tuple[tuple[CaseView, ...], Scale | None]:
    """Views of cases read from a dataset, with the model's part where there are predictions."""
    if not shown:
        return (), None
    classes = max(s.example.mean.shape[0] for s in shown)
    top = plots.top_nats([s.example for s in shown], classes)
    views = []
    for k, one in enumerate(shown):
        legend = _legend(one.about, one.example.mean.shape[0])
        colours = tuple(x.colour for x in legend)
        title = "" if one.run is None else titles.get(str(one.run.folder), one.run.title)
        families = () if one.run is None else (_family(one.run, one.example, title, colours, top),)
        view = _case_view(one.example, families, colours)
        views.append(replace(view, anchor=f"worst-{k}", row=one.key.anchor, why=one.why))
    legend = _legend(shown[0].about, classes)
    return tuple(views), Scale(top, math.log(classes), classes, legend, len(shown), len(shown))


def _case(
    case_id: str, runs: Sequence[RunResult], titles: Mapping[str, str], colours: Sequence[str], top: float
) -> CaseView:
    having = [(r, r.examples[case_id]) for r in runs if r.examples and case_id in r.examples]
    families = tuple(_family(r, e, titles[str(r.folder)], colours, top) for r, e in having)
    return _case_view(having[0][1], families, colours, "rater" if _named(having[0][0]) else "reading")


def _case_view(
    example: Example, families: tuple[FamilyView, ...], colours: Sequence[str], word: str = "reading"
) -> CaseView:
    """What the raters drew, and the families as they are given; raters without names are numbered after ``word``."""
    case_id, shape = example.case_id, (int(example.image.shape[0]), int(example.image.shape[1]))
    names = example.raters or tuple(f"{word} {k + 1}" for k in range(len(example.masks)))
    masks = []
    for k, name in enumerate(names):
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
    of = f" who drew {example.structure}" if example.structure else ""
    looks = [(name, *line_of(k)) for k, name in enumerate(names) if example.drawn[k].any()]
    lines = {"-": "", "--": " dashed", ":": " dotted"}
    return CaseView(
        case_id=case_id,
        plane="" if example.slice_index is None else f"slice {example.slice_index + 1} of {example.slices}",
        image=Panel(panel(partial(plots.image, example), shape, WIDE), "image", f"image of case {case_id}"),
        share=Panel(
            panel(partial(plots.rater_share, example), shape, WIDE),
            f"share of raters{of}",
            f"share of the raters who drew each pixel of case {case_id}",
        ),
        contours=Panel(
            panel(partial(plots.rater_contours, example), shape, WIDE),
            "all outlines" + (f" of {example.structure}" if example.structure else ""),
            f"outlines in case {case_id} of "
            + (", ".join(f"{n} ({c}{lines[style]})" for n, c, style in looks) or "nobody: nobody drew it here"),
            tuple(Legend(n, c) for n, c, _ in looks),
        ),
        masks=tuple(masks),
        families=families,
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
    # tests save eight whatever there are; what was predicted comes as it is
    distinct = len(example.readings) if example.structure else _period(example.readings)
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
            f"probability of {example.structure}" if example.structure else "mean probability",
            f"mean probability of {title} in case {example.case_id}: at most {figure_text(float(mean.max()), 2)}",
        ),
        parts=tuple(parts),
        readings=readings,
        figures=_case_figures(run, example.case_id),
        repeated=distinct == 1,
    )


def _period(readings: NDArray[np.uint8]) -> int:
    """After how many the readings repeat: a run with fewer draws than places fills them in turn."""
    return next((d for d in range(1, len(readings) + 1) if (readings[d:] == readings[:-d]).all()), 0)


def _case_figures(run: RunResult, case_id: str) -> str:
    """GED and matched IoU of this one case, where the run has them."""
    if run.cases is None or case_id not in run.cases.case_ids:
        return ""
    k = run.cases.case_ids.index(case_id)
    wanted = (("ged_v", "GED (V)"), ("hm_iou", "HM-IoU"))
    known = [(h, float(run.cases.metrics[m][k])) for m, h in wanted if m in run.cases.metrics]
    return ", ".join(f"{heading} {figure_text(v, 2)}" for heading, v in known if np.isfinite(v))
