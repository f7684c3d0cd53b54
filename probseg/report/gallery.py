"""The cases on which raters agree least, to look at: the image with every rater's outline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from probseg.analysis.study import Study
from probseg.case import Case
from probseg.records import Dataset, DatasetInfo
from probseg.report.plots import CLASS_COLOURS

__all__ = ["outlines", "worst_cases", "worst_gallery", "worst_plane"]


def worst_cases(study: Study, count: int = 6) -> list[str]:
    """Case ids by the mean Dice of their pairs over classes and groups, the lowest first; only where it is defined."""
    scored = []
    for case in study.cases:
        dice = [p.dice for p in case.pairs if p.dice == p.dice]
        if dice:
            scored.append((sum(dice) / len(dice), case.case_id))
    return [case_id for _, case_id in sorted(scored)[:count]]


def worst_gallery(study: Study, dataset: Dataset, all_axes: Sequence[Axes]) -> Sequence[Axes]:
    """Draw as many of the worst cases as there are axes, each on the plane where its raters differ most."""
    records = {r.case_id: r for r in dataset.records}
    chosen = worst_cases(study, len(all_axes))
    for axes, case_id in zip(all_axes, chosen, strict=False):
        outlines(dataset.load(records[case_id]), axes, dataset.info)
    for axes in all_axes[len(chosen) :]:
        axes.set_axis_off()
    return all_axes


def worst_plane(case: Case) -> int | None:
    """The slice on which most voxels are labelled differently by some two raters; None for a single image."""
    if case.geometry.dimensions == 2:
        return None
    masks, rated = case.stacked()
    high, low = (np.where(rated, masks, end) for end in (0, 255))
    differ = (high.max(axis=0) > low.min(axis=0)) & (rated.sum(axis=0) >= 2)
    return int(differ.sum(axis=(1, 2)).argmax())


def outlines(case: Case, axes: Axes, info: DatasetInfo, plane: int | None = None) -> Axes:
    """The image with the outline of what each rater drew, of whatever class, a colour a rater.

    Args:
        case: with its image; where there are annotations only, the outlines lie on black.
        axes: to draw on.
        info: of the dataset, for the window.
        plane: slice of a volume; None for the one on which raters differ most.
    """
    place = worst_plane(case) if plane is None else plane
    image = case.image[0] if case.image.ndim > case.geometry.dimensions else case.image
    shape = case.geometry.shape[-2:]
    background = info.normalise(_plane(image, place)) if case.has_image else np.zeros(shape)
    spacing = case.geometry.spacing
    aspect = 1.0 if spacing is None else spacing[-2] / spacing[-1]
    axes.imshow(background, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest", aspect=aspect)
    rows, columns = (np.arange(n + 2) - 1.0 for n in shape)
    for k, (rater, mask) in enumerate(case.masks.items()):
        drawn = (_plane(mask, place) > 0) & _plane(case.rated_by(rater), place)
        if drawn.any():
            colour, style = CLASS_COLOURS[k % len(CLASS_COLOURS)], ("-", "--", ":")[k // len(CLASS_COLOURS) % 3]
            # a rim of nothing closes the outline of what touches the edge
            padded = np.pad(drawn.astype(float), 1)
            axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.2, linestyles=[style])
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
    where = "" if place is None else f", slice {place + 1} of {case.geometry.shape[0]}"
    axes.set_title(f"{case.case_id}{where}", fontsize=9, loc="left")
    axes.set_axis_off()
    return axes


def legend_of_raters(case: Case, axes: Axes) -> Axes:
    """Which colour is which rater of a case, as a legend."""
    handles = [
        Line2D(
            [],
            [],
            color=CLASS_COLOURS[k % len(CLASS_COLOURS)],
            linestyle=("-", "--", ":")[k // len(CLASS_COLOURS) % 3],
            label=r,
        )
        for k, r in enumerate(case.masks)
    ]
    axes.legend(handles=handles, frameon=False, fontsize=8)
    axes.set_axis_off()
    return axes


def _plane(array: NDArray, place: int | None) -> NDArray:
    return array if place is None else array[place]
