"""Two evaluations of one model, with its calibrator and without, make one before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from probseg.report.before_calibration import with_before
from probseg.report.results import CaseTable, Estimate, Reliability, RunResult
from probseg.report.stored_evaluation import StoredEvaluation


def evaluation(
    nll: float, calibration: Mapping[str, Any] | None, draws: int = 4, cases: str = "ab"
) -> StoredEvaluation:
    maker = {"checkpoint_sha256": "f00", "draws": draws, "rater": None}
    curve = Reliability(np.array([0.9]), np.array([nll]), np.array([5]))
    table = CaseTable(tuple(cases), tuple(cases), {})
    summary = {"calibration": calibration, "made_by": maker}
    run = RunResult(Path(str(nll)), "net", {"nll": Estimate(nll, 0.0, 1.0, 2)}, summary, table, curve)
    return StoredEvaluation(run, {"dataset": {"name": "toy"}, "made_by": maker}, {})


def test_the_calibrated_one_learns_what_was_before() -> None:
    after, before = with_before([evaluation(0.2, {"method": "Temperature"}), evaluation(0.3, None)])
    assert after.run.figure("nll").value == 0.2 and after.run.figure("nll_uncalibrated").value == 0.3
    assert after.run.reliability_before is before.run.reliability and after.run.reliability is not None
    assert before.run.reliability_before is None and "nll_uncalibrated" not in before.run.figures


@pytest.mark.parametrize("other", [{"draws": 8}, {"cases": "abc"}, {"calibration": {"method": "Isotonic"}}])
def test_what_differs_in_more_than_calibration_is_no_before(other: dict[str, Any]) -> None:
    calibrated = evaluation(0.2, {"method": "Temperature"})
    found = with_before([calibrated, evaluation(0.3, **{"calibration": None, **other})])
    assert found[0] is calibrated
