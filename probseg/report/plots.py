"""Pictures of results: each function draws one result on axes and returns them.

No function keeps state or opens a figure, so the report, a notebook and a paper use the same ones. Maps of one kind
share a scale: probability 0 to 1 (cividis), uncertainty 0 to a top in nats (magma); both rise evenly in lightness, so
that they read the same without colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from probseg.report.results import Example, RunResult

__all__ = [
    "CLASS_COLOURS",
    "PROBABILITY",
    "UNCERTAINTY",
    "forest",
    "image",
    "mean_probability",
    "rater_mask",
    "rater_share",
    "reading",
    "reliability",
    "uncertainty",
]

PROBABILITY = "cividis"
UNCERTAINTY = "magma"
# Okabe & Ito's colours, lightest first because they lie on a grey image
CLASS_COLOURS = ("#ffb000", "#56b4e9", "#f0e442", "#cc79a7", "#00c08b", "#e8601c", "#4c8dff")
INK, MUTED, LINE, ACCENT = "#1c2127", "#66707b", "#d5dae0", "#0a66b0"


def image(example: Example, axes: Axes) -> Axes:
    """The image in grey, 0 black and 1 white."""
    axes.imshow(example.image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    return _bare(axes)


def rater_mask(example: Example, axes: Axes, rater: int, colours: Sequence[str] = CLASS_COLOURS) -> Axes:
    """The image with one rater's outline of each class; what that rater did not look at is hatched."""
    image(example, axes)
    _outline(example.masks[rater], axes, colours)
    unseen = ~example.rated[rater]
    if unseen.any():
        axes.contourf(unseen.astype(float), levels=[0.5, 1.5], colors="none", hatches=["////"])
    return axes


def reading(example: Example, axes: Axes, index: int, colours: Sequence[str] = CLASS_COLOURS) -> Axes:
    """The image with the outline of one reading of the model."""
    image(example, axes)
    _outline(example.readings[index], axes, colours)
    return axes


def rater_share(example: Example, axes: Axes) -> Axes:
    """Share of the raters who drew anything, 0 to 1."""
    axes.imshow(example.rater_share, cmap=PROBABILITY, vmin=0.0, vmax=1.0, interpolation="nearest")
    return _bare(axes)


def mean_probability(example: Example, axes: Axes) -> Axes:
    """Probability of any class but background, 0 to 1, on the same scale as `rater_share`."""
    axes.imshow(example.foreground, cmap=PROBABILITY, vmin=0.0, vmax=1.0, interpolation="nearest")
    return _bare(axes)


def uncertainty(example: Example, axes: Axes, part: str, top_nats: float) -> Axes:
    """One of ``entropy``, ``epistemic``, ``ambiguity``, ``noise``, from 0 to ``top_nats``."""
    axes.imshow(example.maps[part], cmap=UNCERTAINTY, vmin=0.0, vmax=top_nats, interpolation="nearest")
    return _bare(axes)


def reliability(run: RunResult, axes: Axes, start: float = 0.0) -> Axes:
    """Stated probability against the share of raters who agree; a marker's area grows with the trials behind it.

    Of a calibrated run there is also, in grey with hollow markers, the curve before calibration. Both axes run from
    ``start`` to 1: the likeliest of C classes never has less than 1/C, so the lower part is empty.
    """
    axes.plot([start, 1], [start, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    before = run.reliability_before
    if before is not None and len(before.count):
        axes.plot(
            before.confidence, before.frequency, color=MUTED, linewidth=1.2, zorder=2, marker="o", mfc="none", ms=4
        )
    curve = run.reliability
    if curve is not None and len(curve.count):
        area = 12.0 + 150.0 * curve.count / curve.count.max()
        axes.plot(curve.confidence, curve.frequency, color=ACCENT, linewidth=1.5, zorder=2)
        axes.scatter(curve.confidence, curve.frequency, s=area, color=ACCENT, alpha=0.75, linewidths=0, zorder=3)
    ticks = [start, (1 + start) / 2, 1.0]
    room = 0.05 * (1 - start)
    limits = (start - room / 2, 1 + room)
    axes.set(xlim=limits, ylim=limits, xticks=ticks, yticks=ticks, aspect="equal")
    for set_labels in (axes.set_xticklabels, axes.set_yticklabels):
        set_labels([f"{tick:.2f}".rstrip("0").rstrip(".") for tick in ticks])
    return _quiet(axes)


def forest(runs: Sequence[RunResult], axes: Axes, metric: str) -> Axes:
    """One figure of every family with its interval, first family at the top; undefined ones leave their row empty."""
    for row, run in enumerate(runs):
        estimate = run.figure(metric)
        if not estimate.defined:
            axes.text(
                0.5, row, "undefined", transform=axes.get_yaxis_transform(), ha="center", va="center", color=MUTED
            )
            continue
        colour, marker = (INK, "D") if run.is_raters else (ACCENT, "o")
        if estimate.has_interval:
            axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([estimate.value], [row], marker=marker, markersize=7, color=colour, markeredgewidth=0)
    axes.set(ylim=(len(runs) - 0.5, -0.5), yticks=range(len(runs)))
    axes.set_yticklabels([run.title for run in runs])
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    return _quiet(axes)


def _outline(labels: NDArray[np.uint8], axes: Axes, colours: Sequence[str]) -> None:
    """Fill each label lightly and draw its border along the edges of its pixels' centres."""
    overlay = np.zeros((*labels.shape, 4))
    for label in np.unique(labels[labels > 0]).tolist():
        colour = colours[(label - 1) % len(colours)]
        inside = labels == label
        overlay[inside] = (*to_rgb(colour), 0.22)
        padded = np.pad(inside.astype(float), 1)  # closes the outline of a structure that touches the edge
        rows, columns = (np.arange(n + 2) - 1.0 for n in labels.shape)
        axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.4)
    axes.imshow(overlay, interpolation="nearest")
    axes.set(xlim=(-0.5, labels.shape[1] - 0.5), ylim=(labels.shape[0] - 0.5, -0.5))


def _bare(axes: Axes) -> Axes:
    axes.set_axis_off()
    return axes


def _quiet(axes: Axes) -> Axes:
    """Axes without a box: thin lines, muted ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=MUTED, length=0)
    axes.set_axisbelow(True)
    return axes


def top_nats(examples: Sequence[Example], classes: int) -> float:
    """Top of a shared scale: the largest entropy, rounded up to a tenth, at most ln C which nothing can exceed."""
    largest = max((float(np.nanmax(e.maps["entropy"])) for e in examples), default=math.log(classes))
    return min(math.log(classes), max(math.ceil(largest * 10) / 10, 0.1))
