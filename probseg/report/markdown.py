"""Figures in Markdown, written the same way in every table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from probseg.analysis.bootstrap import Interval
from probseg.report.table import DASH, figure_text

__all__ = ["figure_cell", "markdown_table"]


def figure_cell(figure: Interval, *, best: bool = False, signed: bool = False, digits: int = 3) -> str:
    """A figure with its 95 % interval in brackets; a dash where it is undefined.

    Args:
        figure: value and ends; an end that is NaN leaves the brackets out.
        best: whether the value is bold, as the best of its column.
        signed: for a difference: with its sign, and bold where the interval excludes 0.
        digits: after the point.

    >>> figure_cell(Interval(0.25, 0.125, 0.5, 9))
    '0.250 [0.125, 0.500]'
    >>> figure_cell(Interval(0.25, 0.125, 0.5, 9), signed=True)
    '**+0.250 [+0.125, +0.500]**'
    """
    if not math.isfinite(figure.value):
        return DASH

    def text(value: float) -> str:
        return ("+" if signed and value >= 0 else "") + figure_text(value, digits)

    value = f"**{text(figure.value)}**" if best else text(figure.value)
    if not (math.isfinite(figure.low) and math.isfinite(figure.high)):
        return value
    whole = f"{value} [{text(figure.low)}, {text(figure.high)}]"
    return f"**{whole}**" if signed and (figure.low > 0 or figure.high < 0) else whole


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line for each row; a bar within a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
