"""Brier and NLL against every rater, groups and unknown included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.analysis.calibration import brier_score, class_score_sums, negative_log_likelihood, score_sums
from probseg.errors import ProbsegError

# labels 0, 1, 2, the group 3 of both foreground classes, and unknown
ADMISSIBLE = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=bool)


def test_hand_worked():
    p, masks = np.array([[0.3], [0.7]]), np.array([[1], [1], [1], [0]])
    # three raters are met with 0.7, one with 0.3
    assert score_sums(p, masks) == pytest.approx([3 * 2 * 0.09 + 2 * 0.49, 4, -3 * math.log(0.7) - math.log(0.3), 4])
    region = np.ones(1, dtype=bool)
    assert brier_score(p, masks, region) == pytest.approx(0.38)
    assert negative_log_likelihood(p, masks, region) == pytest.approx(-(3 * math.log(0.7) + math.log(0.3)) / 4)


def test_a_group_counts_by_its_classes_in_nll_and_unknown_says_nothing():
    p, masks = np.array([[0.5], [0.2], [0.3]]), np.array([[3], [4], [2]])
    brier, brier_trials, nll, nll_trials = score_sums(p, masks, admissible=ADMISSIBLE)
    assert (brier_trials, nll_trials) == (1, 2)
    assert nll == pytest.approx(-math.log(0.5) - math.log(0.3))
    assert brier == pytest.approx(0.25 + 0.04 + 0.49)
    assert score_sums(p, masks)[3] == 1  # without the table a group is no class


def test_what_was_not_rated_and_lies_outside_is_no_trial():
    p = np.full((2, 4), 0.5)
    masks, rated = np.zeros((1, 4), int), np.array([[True, True, False, False]])
    assert score_sums(p, masks, rated, np.array([True, False, True, False]))[1] == 1
    assert math.isnan(brier_score(p, masks, np.zeros(4, dtype=bool)))
    assert math.isnan(negative_log_likelihood(np.array([[1.0], [0.0]]), masks[:, :1]))  # nobody drew anything


def test_impossible_is_costly_and_finite():
    assert score_sums(np.array([[1.0], [0.0]]), np.array([[1]]))[2] == pytest.approx(-math.log(1e-12))


def test_nan_is_an_error():
    with pytest.raises(ProbsegError, match="E_NONFINITE"):
        score_sums(np.full((2, 3), np.nan), np.zeros((1, 3), int))


@given(st.integers(0, 1000))
def test_parts_and_classes_sum_to_the_whole(seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), size=(4, 5)).transpose(2, 0, 1)
    masks, rated = rng.integers(0, 5, (3, 4, 5)), rng.uniform(size=(3, 4, 5)) < 0.7
    whole = score_sums(p, masks, rated, admissible=ADMISSIBLE)
    region = rng.uniform(size=(4, 5)) < 0.5
    parts = [score_sums(p, masks, rated, part, ADMISSIBLE) for part in (region, ~region)]
    np.testing.assert_allclose(parts[0] + parts[1], whole)
    raters = [score_sums(p, masks[r : r + 1], rated[r : r + 1], admissible=ADMISSIBLE) for r in range(3)]
    np.testing.assert_allclose(np.sum(raters, axis=0), whole)
    each = class_score_sums(p, masks, rated)
    assert each[:, 0].sum() == pytest.approx(whole[0])
    assert (each[:, 1] == whole[1]).all()


@pytest.mark.oracle
def test_two_classes_are_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p, y = rng.uniform(0.01, 0.99, 200), rng.integers(0, 2, 200)
    whole = np.ones(200, dtype=bool)
    got = brier_score(np.stack([1 - p, p]), y[None], whole)
    assert got == pytest.approx(2 * metrics.brier_score_loss(y, p))
    assert negative_log_likelihood(np.stack([1 - p, p]), y[None], whole) == pytest.approx(metrics.log_loss(y, p))
