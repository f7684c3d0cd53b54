"""CSV tables that spreadsheets and pandas read alike."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from probseg.io.atomic import write_text

__all__ = ["plain_cell", "write_csv"]


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a tidy table atomically: UTF-8, one line feed a row.

    Floats get 6 significant digits; NaN and None are empty cells. A text that begins with ``= + - @`` (after
    spaces) or a tab gets an apostrophe in front: a spreadsheet would run it as a formula. Carriage returns become
    spaces.

    Raises:
        ProbsegError: E_NOT_WRITABLE where the folder cannot be written.
        ValueError: when a row has more or fewer cells than there are columns.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row of {len(row)} cells does not fit the {len(columns)} columns {', '.join(columns)}")
        writer.writerow([_cell(value) for value in row])
    write_text(path, text.getvalue())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.6g}"
    if not isinstance(value, str):
        return str(value)
    # The csv module leaves a lone carriage return unquoted, and readers then end the row there.
    text = value.replace("\r", " ")
    return f"'{text}" if _is_formula(text) else text


def _is_formula(text: str) -> bool:
    return text.startswith("\t") or text.lstrip().startswith(("=", "+", "-", "@"))


def plain_cell(text: str) -> str:
    """A cell as it was before `write_csv` put an apostrophe in front of what looks like a formula."""
    return text[1:] if text.startswith("'") and _is_formula(text[1:]) else text
