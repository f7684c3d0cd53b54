"""What all pictures have in common: colours that stay apart for the colour-blind, and quiet axes.

The colours of the page are not fixed here: `probseg.report.figures` puts the page's own in place of `INK` and the rest,
so that a picture follows a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

__all__ = [
    "ACCENT",
    "CLASS_COLOURS",
    "INK",
    "LINE",
    "MUTED",
    "PROBABILITY",
    "STYLE",
    "UNCERTAINTY",
    "WARN",
    "bare",
    "hex_colour",
    "line_of",
    "logarithmic",
    "matrix",
    "quiet",
    "signed",
    "titled",
]

PROBABILITY = "cividis"
UNCERTAINTY = "magma"
# Okabe & Ito's colours, lightest first because they lie on a grey image
CLASS_COLOURS = ("#ffb000", "#56b4e9", "#f0e442", "#cc79a7", "#00c08b", "#e8601c", "#4c8dff")
INK = "#1c2127"
MUTED = "#66707b"
LINE = "#d5dae0"
ACCENT = "#0a66b0"
WARN = "#b3261e"

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, crisp in print
    "pdf.fonttype": 42,  # journals refuse Type 3 fonts
    "font.family": "sans-serif",
    "font.size": 12.0,
    "axes.titlesize": 12.0,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "text.color": INK,
    "axes.labelcolor": MUTED,
}
"""Settings of Matplotlib for `matplotlib.rc_context`; the page and `save_figure` use them."""


def hex_colour(declared: object, default: str) -> str:
    """A colour that somebody declared where it is ``#rrggbb``; it goes into a page's style, so nothing else may."""
    text = str(declared or "")
    good = len(text) == 7 and text[0] == "#" and all(c in "0123456789abcdefABCDEF" for c in text[1:])
    return text if good else default


def bare(axes: Axes) -> Axes:
    """Axes of a picture: no frame, no ticks."""
    axes.set_axis_off()
    return axes


def quiet(axes: Axes) -> Axes:
    """Axes without a box: thin lines, muted ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=MUTED, length=0, which="both")
    axes.set_axisbelow(True)
    return axes


def titled(axes: Axes, title: str) -> Axes:
    """A title over the left end."""
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    return axes


def signed(text: str) -> str:
    """With a minus that is as long as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def line_of(k: int) -> tuple[str, Literal["-", "--", ":"]]:
    """Colour and line of party number k; lines change when the colours are used up."""
    lines: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
    return CLASS_COLOURS[k % len(CLASS_COLOURS)], lines[k // len(CLASS_COLOURS) % 3]


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain figures at 1, 2 and 5 of every decade."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def matrix(values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], axes: Axes) -> None:
    """Shares 0 to 1 as squares with their figures, dark on light and light on dark."""
    axes.imshow(values, cmap=PROBABILITY, vmin=0.0, vmax=1.0)
    for (i, j), value in np.ndenumerate(values):
        if value >= 0.005:  # an empty cell says nought more plainly; NaN has none
            text = f"{value:.2f}".removeprefix("0") if value < 1 else "1"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if value < 0.6 else "black")
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, colors=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
