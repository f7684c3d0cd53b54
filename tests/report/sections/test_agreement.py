from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from probseg.errors import ProbsegError
from probseg.report import build_report
from probseg.report.sections.agreement import agreement_view
from probseg.report.stored_agreement import is_agreement, read_agreement


def interval(value: float | None, half: float = 0.02, n: int = 9) -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "n": 0}
    return {"value": value, "low": value - half, "high": value + half, "n": n}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nodule = {"dice": interval(0.6), "iou": interval(0.5), "pairs": 54, "both_empty": 0, "one_empty": 7}
    distances = {"surface_distance_mean_mm": interval(0.68), "surface_distance_95_mm": interval(None)}
    data = {
        "dataset": "<b>made-up</b>",
        "note": "Made up.",
        "cases": 9,
        "patients": 5,
        "raters_max": 4,
        "complete_agreement": interval(0.26),
        "rater_entropy": interval(0.439),
        "structures": {"nodule": nodule | distances},
    }
    (tmp_path / "agreement").mkdir()
    (tmp_path / "agreement" / "agreement.json").write_text(json.dumps(data), encoding="utf-8")
    return tmp_path / "agreement"


def test_figures_come_back_with_intervals_and_dashes(folder: Path) -> None:
    view = agreement_view(read_agreement(folder))
    ((name, cells, pairs, one_empty),) = view.rows
    assert (name, pairs, one_empty) == ("nodule", 54, 7)
    assert [c.value for c in cells] == ["0.600", "0.500", "0.68", "\N{EN DASH}"]
    assert cells[2].interval == "0.66 to 0.70"
    assert "26.0 % (95\N{NO-BREAK SPACE}% interval 24.0 to 28.0)" in view.sentence


def test_a_page_of_agreement_alone(folder: Path, tmp_path: Path) -> None:
    text = build_report([folder], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Raters among themselves" in text and "0.580 to 0.620" in text
    assert "<b>made-up" not in text and "&lt;b&gt;made-up" in text and 'id="figures"' not in text


def test_undefined_agreement_is_said(folder: Path) -> None:
    path = folder / "agreement.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"complete_agreement": interval(None)}))
    assert "so agreement is undefined" in agreement_view(read_agreement(folder)).sentence


@pytest.mark.parametrize(("text", "code"), [("{", "E_PARSE"), ("{}", "E_SCHEMA"), ("[]", "E_SCHEMA")])
def test_another_file_of_that_name_is_refused(folder: Path, text: str, code: str) -> None:
    assert is_agreement(folder)
    (folder / "agreement.json").write_text(text)
    with pytest.raises(ProbsegError) as caught:
        agreement_view(read_agreement(folder))
    assert caught.value.code == code
