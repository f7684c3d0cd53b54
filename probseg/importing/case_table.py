"""What a group writes down about its scans in a spreadsheet: names, patients, sites, and what was not looked at."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from probseg.errors import ProbsegError
from probseg.io.guard import file_size
from probseg.io.tables import plain_cell
from probseg.records import SPLITS

__all__ = ["CaseRow", "read_cases", "read_rated"]


@dataclass(frozen=True)
class CaseRow:
    """One row of ``--cases``; empty where the table does not say."""

    file: str
    case_id: str = ""
    patient_id: str = ""
    site: str = ""
    split: str = ""


def read_cases(path: Path) -> list[CaseRow]:
    """A CSV with the column ``file`` and any of case_id, patient_id, site and split.

    Raises:
        ProbsegError: the codes of `probseg.io.guard.file_size`, E_PARSE, E_SCHEMA, E_NO_CASES.
    """
    columns = ("file", "case_id", "patient_id", "site", "split")
    rows = [CaseRow(**row) for row in _rows(path, columns, ("file",))]
    if not rows:
        raise ProbsegError("E_NO_CASES", f"'{path}' lists no case")
    for row in rows:
        if not row.file:
            raise ProbsegError("E_SCHEMA", f"'{path}' has a row without a file")
        if row.split and row.split not in SPLITS:
            raise ProbsegError("E_SCHEMA", f"split of '{row.file}' in '{path}' must be one of {', '.join(SPLITS)}")
    twice = [row.file for k, row in enumerate(rows) if row.file in {r.file for r in rows[:k]}]
    if twice:
        raise ProbsegError("E_DUPLICATE_CASE", f"'{path}' lists '{twice[0]}' twice")
    return rows


def read_rated(path: Path) -> dict[tuple[str, str], str]:
    """A CSV of case_id, rater and rated (all, none, or slices such as 0-5;9) to rated by case and rater."""
    columns = ("case_id", "rater", "rated")
    found: dict[tuple[str, str], str] = {}
    for row in _rows(path, columns, columns):
        key = (row["case_id"], row["rater"])
        if key in found:
            raise ProbsegError("E_DUPLICATE_RATER", f"'{path}' lists rater '{key[1]}' of case '{key[0]}' twice")
        found[key] = row["rated"]
    return found


def _rows(path: Path, columns: Sequence[str], needed: Sequence[str]) -> list[dict[str, str]]:
    file_size(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProbsegError("E_PARSE", f"'{path}' is not UTF-8 CSV: {error}") from error
    missing, strange = [c for c in needed if c not in header], [c for c in header if c not in columns]
    if missing or strange or len(set(header)) < len(header):
        fault = f"lacks the column '{missing[0]}'" if missing else f"has the column '{(strange or header)[0]}'"
        raise ProbsegError("E_SCHEMA", f"'{path}' {fault}; the columns are {', '.join(columns)}, each once")
    if any(None in row or None in row.values() for row in rows):
        raise ProbsegError("E_PARSE", f"'{path}' has a row with more or fewer cells than its header")
    return [{name: plain_cell(value.strip()) for name, value in row.items()} for row in rows]
