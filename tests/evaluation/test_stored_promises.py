"""What an evaluation promises is found again, and by the model that it was made for alone."""

from __future__ import annotations

import json
import math

import pytest

from probseg.analysis.conformal import ConformalIntervals, Relative
from probseg.errors import ProbsegError
from probseg.evaluation.stored_promises import made_by, read_promises

TERMS = {"checkpoint_sha256": "ab", "settings": {"draws": 16, "seed": 0, "calibration": {"sha256": "cd"}}}
FITTED = ConformalIntervals(0.95, Relative(1.0), (math.log(2), math.log(2)), 40, {}, {})


@pytest.fixture
def folder(tmp_path):
    promises = {"level": 0.9, "intervals": {"opacity": {"95": FITTED.to_dict()}}}
    (tmp_path / "evaluation.json").write_text(json.dumps({"promises": promises, "made_by": made_by(TERMS)}))
    return tmp_path


def test_an_interval_is_widened_as_it_was_fitted(folder):
    for path in (folder, folder / "evaluation.json"):
        found = read_promises(path, TERMS)
        low, high = found.interval_ml("opacity", 95, (3.0, 7.0))
        assert (low, high) == (pytest.approx(1.0), pytest.approx(15.0))  # 4 / 2 - 1 and 8 * 2 - 1
        assert found.interval_ml("opacity", 80, (3.0, 7.0)) is None
        assert found.interval_ml("lung", 95, (3.0, 7.0)) is None
        assert all(math.isnan(v) for v in found.interval_ml("opacity", 95, (math.nan, math.nan)))
        assert found.to_dict()["patients"] == 40


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"checkpoint_sha256": "ee"}, "another checkpoint,"),
        ({"settings": {"draws": 8, "calibration": {"sha256": "cd"}}}, r"another draws \(16 there, 8 here\)"),
        ({"settings": {"draws": 16, "calibration": None}}, "another calibration,"),
        ({"settings": {**TERMS["settings"], "rater": "anna"}}, "another rater"),
    ],
)
def test_promises_of_another_model_are_refused(folder, changed, named):
    with pytest.raises(ProbsegError, match=named) as caught:
        read_promises(folder, {**TERMS, **changed})
    assert caught.value.code == "E_STALE_CALIBRATION"


def test_another_seed_is_the_same_model(folder):
    assert read_promises(folder, {**TERMS, "settings": {**TERMS["settings"], "seed": 5}}).sha256


@pytest.mark.parametrize("content", [{}, {"promises": None}, {"promises": {"intervals": {"x": {"95": {}}}}}])
def test_an_evaluation_without_promises_says_what_to_do(tmp_path, content):
    (tmp_path / "evaluation.json").write_text(json.dumps({"made_by": made_by(TERMS), **content}))
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        read_promises(tmp_path, TERMS)
