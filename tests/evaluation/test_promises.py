"""Promises are kept by simulated patients, and fitted on nobody who is measured."""

from __future__ import annotations

import numpy as np
import pytest

from probseg.analysis.interval_coverage import coverage_band
from probseg.analysis.risk_control import THRESHOLDS
from probseg.analysis.volume_scores import CaseVolumes
from probseg.errors import ProbsegError
from probseg.evaluation import evaluate_case, gather
from probseg.evaluation.promises import CasePromises, Patients, case_promises, promised
from probseg.evaluation.settings import EvaluationSettings
from probseg.records import DatasetInfo


def patients(seed: int, n: int, name: str) -> Patients:
    """Raters whose volumes scatter three times as far as the model says; a threshold misses about its own share."""
    rng = np.random.default_rng(seed)
    cases = []
    for _ in range(n):
        truth = np.exp(rng.normal(4, 1))
        draws = truth * np.exp(rng.normal(0, 0.1, size=(50, 2)))
        raters = truth * np.exp(rng.normal(0, 0.3, size=(1, 2)))
        volumes = CaseVolumes(draws, raters, 1e-3, np.full(1, np.nan))
        missed = np.clip(np.stack([THRESHOLDS * rng.uniform(0.5, 1.5)] * 2), 0, 1)
        missed[:, 0] = 0
        cases.append(CasePromises(volumes, missed, 2 - THRESHOLDS))
    return Patients(cases, [f"{name}{k}" for k in range(n)], ["north", "south"] * (n // 2))


def test_widened_intervals_hold_what_they_promise_on_200_other_patients():
    found = promised(patients(0, 200, "a"), patients(1, 200, "b"), ("opacity", ""), EvaluationSettings(samples=100))
    pooled, by_site = found.volumes[:2]
    low, high = coverage_band(0.9, 200, 200)
    assert pooled.before.held.value < 0.6  # the model is too sure
    assert low <= pooled.after.held.value <= high
    assert set(by_site.fitted.sites) == {"north", "south"}
    assert low - 0.03 <= by_site.after.held.value <= high + 0.03  # two fits of half the patients each
    assert found.missed_foreground.value == pytest.approx(0.1, abs=0.02)
    tables = found.tables()
    assert [row[1] for row in tables["conformal"].rows] == ["pooled", "site"] * 2
    assert [row[0] for row in tables["thresholds"].rows] == ["sensitivity", "sets"]
    assert found.sentences()[0].startswith("Intervals of volume that promise 90 % of raters: the model's own hold")


def test_too_few_patients_promise_nothing_and_say_so():
    few = patients(0, 2, "a"), patients(1, 2, "b")
    intervals, threshold = promised(*few, ("opacity", ""), EvaluationSettings(samples=10)).sentences()
    assert "widened on 2 calibration patients" in intervals and intervals.endswith("have no upper end.")
    assert threshold.startswith("No threshold of the probability of foreground can promise to miss 10 %")


def test_a_case_by_hand(make_case):
    mask = np.zeros((2, 1, 30), np.uint8)
    mask[:, 0, :2] = 1
    readings = np.zeros((4, 1, 30), np.uint8)
    readings[:, 0, 0] = 1  # one of the two voxels has probability 1, the other 1/4
    readings[0, 0, 1] = 1
    found = case_promises(make_case(mask, readings))
    at = {t: int(np.searchsorted(THRESHOLDS, t)) for t in (0.0, 0.2, 0.3)}
    assert found.missed[0, [at[0.0], at[0.2], at[0.3]]].tolist() == [0.0, 0.0, 0.5]
    # 7 voxels of region, twice asked: only the second's votes for the nodule have a probability below 0.3
    assert found.missed[1, at[0.3]] == pytest.approx(2 / 14)
    assert found.set_size[at[0.0]] == 2.0 and found.set_size[at[0.3]] == 1.0


def test_nobody_is_fitted_on_and_measured(make_case, labels):
    info = DatasetInfo("discs", 2, labels, (0.0, 1.0))
    case = evaluate_case(make_case(np.ones((2, 1, 4)), np.ones((3, 1, 4))))
    with pytest.raises(ProbsegError, match="E_PATIENT_LEAK"):
        gather(info, "made", [case], calibration=[case])
    assert gather(info, "made", [case]).promises is None


@pytest.mark.parametrize("given", [{"level": 1.0}, {"failure_dice": 0.0}])
def test_settings_are_checked(given):
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        EvaluationSettings(**given)
