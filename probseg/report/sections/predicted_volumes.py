"""What ``probseg predict`` says of volumes, scan by scan: all that there is where no rater's mask is at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from probseg.report.csv_rows import read_number, read_rows
from probseg.report.inputs import StoredPredictions
from probseg.report.results import Estimate
from probseg.report.table import DASH, Cell, cell_of, figure_text

__all__ = ["PredictedVolumes", "predicted_volumes"]

TABLE = "volumes.csv"
MOST_ROWS = 500  # a page of more is slow to open; the table beside the maps has all
_INTERVAL = ("mean_ml", "low_95_ml", "high_95_ml")
_CONFORMAL = ("mean_ml", "conformal_low_95_ml", "conformal_high_95_ml")
_PERCENT = ("percent_of_lung", "percent_of_lung_low_95", "percent_of_lung_high_95")


@dataclass(frozen=True)
class PredictedVolumes:
    """One folder of predictions.

    Attributes:
        name: of the folder.
        headings: of the columns after case and class; only those of which some row knows anything.
        rows: case, class and cells.
        total: rows of the table on disk.
    """

    name: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    total: int


def predicted_volumes(predictions: Sequence[StoredPredictions]) -> list[PredictedVolumes]:
    """Of every folder whose scans have volumes in mL.

    Raises:
        ProbsegError: E_PARSE or E_SCHEMA where ``volumes.csv`` is not what ``probseg predict`` writes.
    """
    found = [_of_folder(one.folder) for one in predictions if (one.folder / TABLE).is_file()]
    return [view for view in found if view.rows]


def _of_folder(folder: Path) -> PredictedVolumes:
    path = folder / TABLE
    kinds = (("volume, mL", _INTERVAL), ("widened (conformal), mL", _CONFORMAL), ("% of lung", _PERCENT))
    names = ("case_id", "class", *dict.fromkeys(name for _, columns in kinds for name in columns))
    table = [r for r in read_rows(path, names) if math.isfinite(read_number(r["mean_ml"], path))]
    known = [kind for kind in kinds if any(_cell(row, kind[1], path).number for row in table)]
    rows = tuple(
        (row["case_id"], row["class"], tuple(_cell(row, columns, path) for _, columns in known))
        for row in table[:MOST_ROWS]
    )
    return PredictedVolumes(folder.resolve().name, tuple(heading for heading, _ in known), rows, len(table))


def _cell(row: Mapping[str, str], columns: Sequence[str], path: Path) -> Cell:
    """A value with its interval; where too few cases promise a high end, with the low one alone."""
    value, low, high = (read_number(row[name], path) for name in columns)
    if columns is not _CONFORMAL:
        return cell_of(Estimate(value, low, high, 1), 1)
    if math.isnan(low):
        return Cell(DASH)
    cell = cell_of(Estimate(value, low, high, 1), 1)
    return cell if cell.interval else replace(cell, interval=f"{figure_text(low, 1)} or more")
