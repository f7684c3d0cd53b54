"""A figure for a paper: at the width of a column, the same bytes for the same picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from probseg.errors import ProbsegError
from probseg.io.atomic import replacing
from probseg.report.plots.style import STYLE

__all__ = ["COLUMN_MM", "PAGE_MM", "save_figure"]

COLUMN_MM = 88.0
PAGE_MM = 180.0
"""Widths of one column and of a page of a journal."""

_FORMATS = (".pdf", ".svg", ".png")


def save_figure(figure: Figure, path: str | Path, width_mm: float | None = None, dpi: float = 300.0) -> Path:
    """Save a figure as PDF, SVG or PNG, whole or not at all; nothing in the file tells when or where it was made.

    Text stays text, so that a journal may set it in its own font and a reader may search it.

    Args:
        figure: the figure.
        path: its ending chooses among ``.pdf``, ``.svg`` and ``.png``.
        width_mm: width to scale the figure to, its height in proportion, such as `COLUMN_MM`; None leaves its size.
        dpi: of a PNG, and of pictures inside the other two.

    Returns:
        The path.

    Raises:
        ProbsegError: E_WRONG_EXTENSION for another ending, E_ARGUMENT for a width that is not positive, E_NOT_WRITABLE.
    """
    target = Path(path)
    if target.suffix.lower() not in _FORMATS:
        raise ProbsegError("E_WRONG_EXTENSION", f"a figure ends in {', '.join(_FORMATS)}, but '{target}' does not")
    before = figure.get_size_inches().copy()
    if width_mm is not None:
        if not width_mm > 0:
            raise ProbsegError("E_ARGUMENT", f"width_mm must be positive, but is {width_mm}")
        figure.set_size_inches(width_mm / 25.4, before[1] / before[0] * width_mm / 25.4)
    # A name of a thing in the file is made of the salt and the thing; without a salt it is random.
    same = {**STYLE, "svg.hashsalt": "probseg", "svg.id": None}
    metadata = {
        ".pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
        ".svg": {"Date": None, "Creator": None},
        ".png": {"Software": None},
    }[target.suffix.lower()]
    try:
        with mpl.rc_context(same), replacing(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:].lower(), dpi=dpi, metadata=metadata)
    finally:
        figure.set_size_inches(float(before[0]), float(before[1]))
    return target
