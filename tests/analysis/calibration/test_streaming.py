"""Sums of parts against figures of the whole, and what a perfect model has."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.calibration import (
    brier_score,
    calibration_error,
    calibration_sums,
    classwise_calibration_error,
    negative_log_likelihood,
)


@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(2, 4))
def test_the_sum_of_cases_is_the_figure_of_all(seed, classes):
    rng = np.random.default_rng(seed)
    # 64ths: no two probabilities share a cell, so that bins of equal mass are exact
    p = rng.multinomial(64, rng.dirichlet(np.ones(classes), size=90)).T / 64
    masks, rated = rng.integers(0, classes, (3, 90)), rng.uniform(size=(3, 90)) < 0.8
    cases = [calibration_sums(p[:, k : k + 30], masks[:, k : k + 30], rated[:, k : k + 30]) for k in (0, 30, 60)]
    got = (cases[0] + cases[1] + cases[2]).figures()
    whole = np.ones(90, dtype=bool)
    assert got["ece"] == pytest.approx(calibration_error(p, masks, whole, rated=rated))
    assert got["ace"] == pytest.approx(classwise_calibration_error(p, masks, whole, rated=rated))
    assert got["brier"] == pytest.approx(brier_score(p, masks, whole, rated))
    assert got["nll"] == pytest.approx(negative_log_likelihood(p, masks, whole, rated))
    assert got["ece"] <= got["mce"] <= 1


def test_a_perfect_model_has_no_error_and_an_overconfident_one_has():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, (3, 40_000))
    p = np.exp(logit) / np.exp(logit).sum(axis=0)
    masks = np.array([(rng.uniform(size=40_000) > np.cumsum(p, axis=0)[:2, :]).sum(axis=0) for _ in range(20)])
    perfect = calibration_sums(p, masks).figures()
    assert max(perfect["ece"], perfect["ace"]) < 0.003
    sure = np.exp(2 * logit) / np.exp(2 * logit).sum(axis=0)
    worse = calibration_sums(sure, masks).figures()
    assert min(worse["ece"], worse["ace"]) > 0.05
    assert worse["nll"] > perfect["nll"]
    assert worse["brier"] > perfect["brier"]


def test_each_class_by_itself():
    p, masks = np.array([[0.3, 0.8], [0.7, 0.2]]), np.array([[1, 0], [1, 0], [1, 1], [0, 0]])
    parts = calibration_sums(p, masks).of_classes(bins=1)
    assert parts["ace"] == pytest.approx([0.05, 0.05])
    assert parts["brier"].sum() == pytest.approx(calibration_sums(p, masks).figures()["brier"])


def test_nothing_seen_is_undefined():
    got = calibration_sums(np.zeros((2, 0)), np.zeros((1, 0), int))
    assert all(math.isnan(v) for v in got.figures().values())
    assert np.isnan(got.of_classes()["brier"]).all()
