"""Volumes of a folder of predictions as they stand in its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from probseg.errors import ProbsegError
from probseg.inference.volumes import VOLUME_COLUMNS
from probseg.report.inputs import StoredPredictions
from probseg.report.sections.predicted_volumes import MOST_ROWS, predicted_volumes
from probseg.report.table import DASH


def folder_of(folder: Path, *rows: dict[str, object]) -> list[StoredPredictions]:
    lines = [",".join(str(row.get(c, "")) for c in VOLUME_COLUMNS) for row in rows]
    (folder / "volumes.csv").write_text("\n".join([",".join(VOLUME_COLUMNS), *lines, ""]), encoding="utf-8")
    return [StoredPredictions(folder, {"scans": []}, None, {})]


def row(**known: object) -> dict[str, object]:
    return {"case_id": "c1", "class": "lesion", "draws": 16, "mean_ml": 12.34, **known}


def test_columns_are_those_of_which_anything_is_known(tmp_path: Path) -> None:
    only = predicted_volumes(folder_of(tmp_path, row(low_95_ml=10.0, high_95_ml=15.06)))[0]
    assert only.headings == ("volume, mL",) and only.total == 1
    (case_id, structure, cells) = only.rows[0]
    assert (case_id, structure, cells[0].value, cells[0].interval) == ("c1", "lesion", "12.3", "10.0 to 15.1")


def test_a_widened_interval_may_lack_its_high_end(tmp_path: Path) -> None:
    one = row(low_95_ml=10, high_95_ml=15, conformal_low_95_ml=8.0, percent_of_lung=3.2)
    other = row(case_id="c2", low_95_ml=10, high_95_ml=15)
    view = predicted_volumes(folder_of(tmp_path, one, other))[0]
    assert view.headings == ("volume, mL", "widened (conformal), mL", "% of lung")
    assert [c.interval for c in view.rows[0][2]] == ["10.0 to 15.0", "8.0 or more", ""]
    assert [c.value for c in view.rows[1][2]] == ["12.3", DASH, DASH]


def test_scans_without_millimetres_have_no_volumes(tmp_path: Path) -> None:
    assert predicted_volumes(folder_of(tmp_path, row(mean_ml=""))) == []
    assert predicted_volumes([StoredPredictions(tmp_path / "none", {"scans": []}, None, {})]) == []


def test_a_long_table_is_cut_and_says_so(tmp_path: Path) -> None:
    view = predicted_volumes(folder_of(tmp_path, *[row(case_id=f"c{k}") for k in range(MOST_ROWS + 3)]))[0]
    assert len(view.rows) == MOST_ROWS and view.total == MOST_ROWS + 3


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "volumes.csv").write_text("case_id,class\nc1,lesion\n", encoding="utf-8")
    with pytest.raises(ProbsegError, match="lacks the column 'mean_ml'"):
        predicted_volumes([StoredPredictions(tmp_path, {"scans": []}, None, {})])
