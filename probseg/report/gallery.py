"""The cases on which raters agree least, to look at: the image with every rater's outline."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from probseg.analysis.study import Study
from probseg.case import Case
from probseg.labels import LabelSet
from probseg.records import Dataset, DatasetInfo
from probseg.report.plots.style import line_of

__all__ = ["legend_of_raters", "outlines", "structure_of_interest", "worst_cases", "worst_gallery", "worst_plane"]


def structure_of_interest(labels: LabelSet) -> str:
    """What pictures show unless told otherwise: opacity where there is one, else the first class or group."""
    return "opacity" if "opacity" in labels.structures else labels.structures[0]


def worst_cases(study: Study, count: int = 6, structure: str | None = None) -> list[str]:
    """Case ids by the mean Dice of their pairs in a structure, the lowest first; only where it is defined."""
    wanted = structure_of_interest(study.info.labels) if structure is None else structure
    scored = []
    for case in study.cases:
        dice = [p.dice for p in case.pairs if p.structure == wanted and not math.isnan(p.dice)]
        if dice:
            scored.append((sum(dice) / len(dice), case.case_id))
    return [case_id for _, case_id in sorted(scored)[:count]]


def worst_gallery(
    study: Study, dataset: Dataset, all_axes: Sequence[Axes], structure: str | None = None
) -> Sequence[Axes]:
    """Draw as many of the worst cases as there are axes, each on the plane where its raters differ most."""
    records = {r.case_id: r for r in dataset.records}
    chosen = worst_cases(study, len(all_axes), structure)
    for axes, case_id in zip(all_axes, chosen, strict=False):
        outlines(dataset.load(records[case_id]), axes, dataset.info, structure)
    for axes in all_axes[len(chosen) :]:
        axes.set_axis_off()
    return all_axes


def worst_plane(case: Case, labels: LabelSet, structure: str) -> int | None:
    """The slice on which some two raters differ in most voxels of a structure; None for a single image."""
    if case.geometry.dimensions == 2:
        return None
    drawn, open_ = _drawn(case, labels, structure)
    differ = drawn.any(axis=0) & (~drawn & ~open_).any(axis=0)
    return int(differ.sum(axis=(1, 2)).argmax())


def _drawn(case: Case, labels: LabelSet, structure: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """``(raters, *space)``: where each drew the structure, and where each leaves it open or did not look."""
    masks, rated = case.stacked()
    member = labels.membership(structure)[masks]
    return (member == 1) & rated, (member == -1) | ~rated


def outlines(case: Case, axes: Axes, info: DatasetInfo, structure: str | None = None, plane: int | None = None) -> Axes:
    """The image with the outline of what each rater drew of one structure, a colour a rater.

    Args:
        case: with its image; where there are annotations only, the outlines lie on black.
        axes: to draw on.
        info: of the dataset, for the window and the label set.
        structure: a class or group; None for `structure_of_interest`.
        plane: slice of a volume; None for the one on which raters differ most.
    """
    wanted = structure_of_interest(info.labels) if structure is None else structure
    place = worst_plane(case, info.labels, wanted) if plane is None else plane
    shape, spacing = case.geometry.shape[-2:], case.geometry.spacing
    background: NDArray = np.zeros(shape)
    if case.has_image:
        image = case.image[0] if case.image.ndim > case.geometry.dimensions else case.image
        background = info.normalise(_plane(image, place))
    aspect = 1.0 if spacing is None else spacing[-2] / spacing[-1]
    axes.imshow(background, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest", aspect=aspect)
    rows, columns = (np.arange(n + 2) - 1.0 for n in shape)
    drawn, _ = _drawn(case, info.labels, wanted)
    for k, of_rater in enumerate(drawn):
        inside = _plane(of_rater, place)
        if inside.any():
            colour, style = line_of(k)
            # a rim of nothing closes the outline of what touches the edge
            padded = np.pad(inside.astype(float), 1)
            axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.2, linestyles=[style])
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
    where = "" if place is None else f", slice {place + 1} of {case.geometry.shape[0]}"
    axes.set_title(f"{case.case_id}{where}", fontsize=9, loc="left")
    axes.set_axis_off()
    return axes


def legend_of_raters(case: Case, axes: Axes) -> Axes:
    """Which colour is which rater of a case, as a legend."""
    handles = []
    for k, rater in enumerate(case.masks):
        colour, style = line_of(k)
        handles.append(Line2D([], [], color=colour, linestyle=style, label=rater))
    axes.legend(handles=handles, frameon=False, fontsize=8)
    axes.set_axis_off()
    return axes


def _plane(array: NDArray, place: int | None) -> NDArray:
    return array if place is None else array[place]
