from __future__ import annotations

import json
import math

import numpy as np
import pytest

from probseg.analysis.risk_control import (
    THRESHOLDS,
    RiskControl,
    class_sets,
    control_risk,
    missed_foreground,
    missed_votes,
    set_sizes,
    taken_foreground,
)
from probseg.errors import ProbsegError


def test_losses_by_hand():
    probabilities = np.array([[0.9, 0.4, 0.2, 0.7], [0.1, 0.6, 0.5, 0.1], [0.0, 0.0, 0.3, 0.2]])
    masks = np.array([[0, 1, 1, 0], [0, 1, 2, 2]])
    thresholds = np.array([0.0, 0.3, 0.5, 0.7, 0.9])
    # the union is the last three voxels, of foreground 0.6, 0.8, 0.3
    missed = missed_foreground(probabilities, masks, None, None, thresholds)
    assert missed.tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 1])
    assert taken_foreground(probabilities, 0.5).tolist() == [False, True, True, False]
    # the votes' probabilities: 0.9 0.6 0.5 0.7 and 0.9 0.6 0.3 0.2
    assert missed_votes(probabilities, masks, None, None, thresholds).tolist() == [0, 1 / 8, 2 / 8, 5 / 8, 6 / 8]
    assert class_sets(probabilities, 0.3).sum(axis=0).tolist() == [1, 2, 2, 1]
    assert set_sizes(probabilities, 0.3).tolist() == [0, 0.5, 0.5, 0]
    rated = np.array([[True] * 4, [True, True, True, False]])
    assert missed_foreground(probabilities, masks, rated, None, thresholds)[2] == 0
    assert missed_votes(probabilities, masks, rated, np.arange(4) == 3, thresholds).tolist() == [0, 0, 0, 0, 1]


def test_a_group_was_drawn_and_is_no_vote():
    probabilities = np.array([[0.3], [0.5], [0.2]])
    admissible = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=bool)
    thresholds = np.array([0.0, 0.65, 0.75])
    for label, missed in ((3, [0, 0, 1]), (4, [0, 0, 0])):
        masks = np.array([[label]])
        assert missed_foreground(probabilities, masks, None, admissible, thresholds).tolist() == missed
        assert not missed_votes(probabilities, masks, thresholds=thresholds).any()
    assert not missed_foreground(probabilities, np.zeros((2, 1), int)).any()


def test_threshold_by_hand():
    thresholds = np.array([0.0, 0.5, 1.0])
    losses = np.array([[0, 0.0, 0.6], [0, 0.2, 1.0], [0, 0.4, 1.0], [0, 0.1, 0.1]])
    # patients a (mean of two scans) and b, c: at 0.5 the mean is (0.1 + 0.4 + 0.1) / 3, and (0.6 + 1) / 4 is 0.4
    found = control_risk(losses, list("aabc"), 0.4, thresholds)
    assert (found.threshold, found.measured, found.patients) == (0.5, pytest.approx(0.2), 3)
    assert control_risk(losses, list("aabc"), 0.39, thresholds).threshold == 0
    assert control_risk(losses[:0], [], 0.1, thresholds) == RiskControl(0, 0.1, 0, 0)
    assert RiskControl.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def scans(rng, n):
    """Scans whose raters draw more or less than a model thinks: foreground probabilities of the union's voxels."""
    probabilities, masks = [], []
    for _ in range(n):
        shift = 0.8 * rng.normal()
        logit = rng.normal(size=60)
        p = 1 / (1 + np.exp(-2 * logit))
        rater = (logit + shift + 0.7 * rng.normal(size=(2, 60))) > 0
        probabilities.append(np.stack([1 - p, p]).astype(np.float32))
        masks.append(rater.astype(np.uint8))
    return probabilities, masks


@pytest.mark.parametrize("loss", [missed_foreground, missed_votes])
@pytest.mark.parametrize("patients", [20, 60])
def test_the_risk_is_controlled_over_repeated_calibrations(loss, patients):
    rng, risk, new = np.random.default_rng(0), 0.1, []
    for _ in range(200):
        table = np.array([loss(p, m) for p, m in zip(*scans(rng, patients + 5), strict=True)])
        found = control_risk(table[:patients], np.arange(patients), risk)
        place = int(np.searchsorted(THRESHOLDS, found.threshold))
        new.append(table[patients:, place].mean())
    error = np.std(new) / math.sqrt(len(new))
    assert np.mean(new) <= risk + 4 * error
    assert np.mean(new) >= risk - 2 / (patients + 1) - 4 * error  # and no more is taken than the promise costs


def test_what_makes_no_sense_is_refused():
    falling = np.array([[0, 0.5, 0.4]])
    for losses, risk in ((falling, 0.1), (np.array([[0.1, 0.2, 0.3]]), 0.1), (np.zeros((1, 3)), 1.0)):
        with pytest.raises(ProbsegError, match="E_ARGUMENT"):
            control_risk(losses, ["a"], risk, np.array([0, 0.5, 1]))
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        RiskControl.from_dict({"risk": 1})
