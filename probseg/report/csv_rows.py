"""Tables of results read back: rows by column, numbers whose cells may be empty."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from probseg.errors import ProbsegError
from probseg.io.tables import plain_cell

__all__ = ["read_count", "read_number", "read_rows"]


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table, each by column; names come without the mark that shields a spreadsheet from a formula.

    Raises:
        ProbsegError: E_PARSE where it is not UTF-8 CSV with even rows, E_SCHEMA where one of ``columns`` is missing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not a readable UTF-8 CSV file: {error}") from error
    missing = [c for c in columns if c not in header]
    if missing:
        raise ProbsegError("E_SCHEMA", f"'{path}' lacks the column '{missing[0]}'; it needs {', '.join(columns)}")
    if any(None in row or None in row.values() for row in rows):
        raise ProbsegError("E_PARSE", f"'{path}' has a row with more or fewer cells than its header")
    return [{column: plain_cell(cell) for column, cell in row.items()} for row in rows]


def read_number(text: str, path: Path) -> float:
    """A cell; NaN where it is empty."""
    if not text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError as error:
        raise ProbsegError("E_PARSE", f"'{path}' holds '{text[:40]}' where a number belongs") from error


def read_count(text: str, path: Path) -> int:
    """A cell; 0 where it is empty."""
    value = read_number(text, path)
    if math.isnan(value):
        return 0
    if not value.is_integer() or value < 0:
        raise ProbsegError("E_PARSE", f"'{path}' holds '{text[:40]}' where a count belongs")
    return int(value)
