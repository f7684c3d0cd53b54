"""One case as pictures: the image, what raters drew, what a model makes of it.

Maps of one kind share a scale: probability 0 to 1 (cividis), uncertainty 0 to a top in nats (magma); both rise evenly
in lightness, so that they read the same without colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from probseg.report.plots.style import CLASS_COLOURS, PROBABILITY, UNCERTAINTY, bare, line_of
from probseg.report.results import Example

__all__ = [
    "image",
    "mean_probability",
    "rater_contours",
    "rater_mask",
    "rater_share",
    "reading",
    "top_nats",
    "uncertainty",
]


def image(example: Example, axes: Axes) -> Axes:
    """The image in grey, 0 black and 1 white."""
    axes.imshow(example.image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    return bare(axes)


def rater_mask(example: Example, axes: Axes, rater: int, colours: Sequence[str] = CLASS_COLOURS) -> Axes:
    """The image with one rater's outline of each class; what that rater did not look at is hatched."""
    image(example, axes)
    _outline(example.masks[rater], axes, colours)
    unseen = ~example.rated[rater]
    if unseen.any():
        axes.contourf(unseen.astype(float), levels=[0.5, 1.5], colors="none", hatches=["////"])
    return axes


def rater_contours(example: Example, axes: Axes) -> Axes:
    """The image with every rater's outline of what the example is of (`Example.drawn`), a colour and line a rater."""
    image(example, axes)
    rows, columns = (np.arange(n + 2) - 1.0 for n in example.image.shape)
    for k, inside in enumerate(example.drawn):
        if inside.any():
            colour, style = line_of(k)
            # a rim of nothing closes the outline of what touches the edge
            padded = np.pad(inside.astype(float), 1)
            axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.3, linestyles=[style])
    axes.set(xlim=(-0.5, example.image.shape[1] - 0.5), ylim=(example.image.shape[0] - 0.5, -0.5))
    return axes


def reading(example: Example, axes: Axes, index: int, colours: Sequence[str] = CLASS_COLOURS) -> Axes:
    """The image with the outline of one reading of the model."""
    image(example, axes)
    _outline(example.readings[index], axes, colours)
    return axes


def rater_share(example: Example, axes: Axes) -> Axes:
    """Share of the raters who drew what the example is of (`Example.drawn`), 0 to 1."""
    axes.imshow(example.rater_share, cmap=PROBABILITY, vmin=0.0, vmax=1.0, interpolation="nearest")
    return bare(axes)


def mean_probability(example: Example, axes: Axes) -> Axes:
    """Probability of what the example is of (`Example.foreground`), 0 to 1, on the same scale as `rater_share`."""
    axes.imshow(example.foreground, cmap=PROBABILITY, vmin=0.0, vmax=1.0, interpolation="nearest")
    return bare(axes)


def uncertainty(example: Example, axes: Axes, part: str, top_nats: float) -> Axes:
    """One of ``entropy``, ``epistemic``, ``ambiguity``, ``noise``, from 0 to ``top_nats``."""
    axes.imshow(example.maps[part], cmap=UNCERTAINTY, vmin=0.0, vmax=top_nats, interpolation="nearest")
    return bare(axes)


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


def top_nats(examples: Sequence[Example], classes: int) -> float:
    """Top of a shared scale: the largest entropy, rounded up to a tenth, at most ln C which nothing can exceed."""
    largest = max((float(np.nanmax(e.maps["entropy"])) for e in examples), default=math.log(classes))
    return min(math.log(classes), max(math.ceil(largest * 10) / 10, 0.1))
