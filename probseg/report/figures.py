"""From axes to what a page can hold: PNG as a data URI, SVG that takes the page's colours."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from probseg.report import plots
from probseg.report.plots.style import STYLE, WARN
from probseg.report.results import RunResult

__all__ = ["chart", "colour_stops", "forest_svg", "panel", "reliability_svg"]

_PAGE_COLOURS = {
    plots.INK: "var(--ink)",
    plots.MUTED: "var(--muted)",
    plots.LINE: "var(--line)",
    plots.ACCENT: "var(--accent)",
    WARN: "var(--warn)",
}


def panel(draw: Callable[[Axes], object], shape: tuple[int, int], width: int) -> str:
    """A picture without frame or text, as a PNG data URI.

    Args:
        draw: draws on the axes it is given.
        shape: ``(rows, columns)`` of what is drawn; small images are enlarged by a whole factor so that pixels stay
            square and sharp.
        width: wished width in pixels.
    """
    rows, columns = shape
    factor = max(width // columns, 1) if columns <= width else width / columns
    size = (max(round(columns * factor), 1), max(round(rows * factor), 1))
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    draw(figure.add_axes((0.0, 0.0, 1.0, 1.0)))
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    small = pixels.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def chart(
    draw: Callable[[Axes], object], name: str, description: str, size: tuple[float, float] = (5.2, 4.0)
) -> Markup:
    """One plot as inline SVG.

    Args:
        draw: draws on the axes it is given.
        name: of its own on the page, for identifiers.
        description: what it shows, for those who cannot see it.
        size: inches; text has 10 points.
    """
    with mpl.rc_context({**STYLE, "font.size": 10.0}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        return Markup(_svg(figure, name, description))


def forest_svg(
    runs: Sequence[RunResult], titles: Mapping[str, str], metrics: Sequence[tuple[str, str]], description: str
) -> str:
    """Every family's figure and interval, one small plot a metric (name, heading) side by side, as inline SVG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(15.0, (70 + 26 * len(runs)) / 72), layout="constrained")
        all_axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, (metric, heading) in zip(all_axes, metrics, strict=True):
            plots.forest(runs, axes, metric)
            axes.set_title(heading, pad=12)
            axes.spines["left"].set_visible(False)
        all_axes[0].tick_params(axis="y", labelcolor=plots.INK, pad=10)
        all_axes[0].set_yticklabels([titles.get(str(run.folder), run.title) for run in runs])
        return _svg(figure, "forest", description)


def reliability_svg(
    runs: Sequence[RunResult], titles: Mapping[str, str], description: str, name: str = "reliability"
) -> str:
    """The reliability curves, one small plot a family, as inline SVG; ``name`` is its own on the page."""
    curves = [c for r in runs for c in (r.reliability, r.reliability_before) if c is not None and len(c.count)]
    lowest = min(float(min(c.confidence.min(), c.frequency.min())) for c in curves)
    start = max(math.floor(lowest * 10) / 10, 0.0)
    columns = min(max(len(runs), 4), 5)
    lines = -(-len(runs) // columns)
    with mpl.rc_context(STYLE):
        side = 1080 / columns
        figure = Figure(figsize=(15.0, lines * (side + 12) / 72))
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes, run in zip(grid.flat, runs, strict=False):
            plots.reliability(run, axes, start)
            axes.set_title(titles.get(str(run.folder), run.title), pad=10)
            axes.set_xlabel("stated probability")
        for axes in grid.flat[len(runs) :]:
            axes.set_visible(False)
        for line in grid:
            line[0].set_ylabel("share of raters who agree")
        figure.subplots_adjust(
            left=0.045, right=0.99, wspace=0.2, top=1 - 30 / (lines * side), bottom=44 / (lines * side), hspace=0.35
        )
        return _svg(figure, name, description)


def colour_stops(name: str, count: int = 12) -> str:
    """A colour map as stops of a CSS gradient."""
    return ", ".join(mpl.colors.to_hex(mpl.colormaps[name](x)) for x in np.linspace(0.0, 1.0, count))


def _svg(figure: Figure, name: str, description: str) -> str:
    """Inline SVG: the page's font and colours, identifiers of its own, a description for those who cannot see it."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.id": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    used = set(re.findall(r"#([\w.-]+)", text))  # matplotlib names every group; two pictures would share those names
    text = re.sub(r' id="([\w.-]+)"', lambda m: m.group() if m.group(1) in used else "", text)
    for colour, page_colour in _PAGE_COLOURS.items():
        text = text.replace(colour, page_colour)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r"(font: )((?:bold )?[\d.]+px) [^;\"]*", r"\1\2 var(--font)", text)
    escaped = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{escaped}" ', text, count=1)
