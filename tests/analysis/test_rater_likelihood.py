"""Likelihood of whole masks under a distribution of readings, in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.analysis.rater_likelihood import mask_log_likelihoods, rater_log_likelihood

# Classes 0, 1 and 2; label 3 is a group of two of them, label 4 unknown
ADMISSIBLE = np.array(
    [[True, False, False], [False, True, False], [False, False, True], [False, True, True], [True] * 3]
)


def log_p(*readings: list[float]) -> np.ndarray:
    """``(N, 2, voxels)`` of the probabilities of class 1."""
    p = np.array(readings)
    with np.errstate(divide="ignore"):
        return np.log(np.stack([1 - p, p], axis=1))


def test_two_readings_by_hand():
    readings = log_p([0.9, 0.5], [0.1, 0.5])
    # rater 1 1: (0.9 * 0.5 + 0.1 * 0.5) / 2 = 0.25; rater 1 0 likewise
    got = mask_log_likelihoods(readings, np.array([[1, 1], [1, 0]]))
    np.testing.assert_allclose(got, [math.log(0.25)] * 2)
    assert rater_log_likelihood(readings, np.array([[1, 1], [1, 0]])) == pytest.approx(math.log(0.25) / 2)


def test_whole_readings_and_not_voxels():
    # All 1 or all 0 with certainty: each rater is one of them, probability 1/2, where voxels alone would say 2^-3
    readings = log_p([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(mask_log_likelihoods(readings, np.array([[1, 1, 1], [0, 0, 0]])), [math.log(0.5)] * 2)
    assert mask_log_likelihoods(readings, np.array([[1, 0, 1]])).item() == -math.inf


def test_groups_unknown_and_unrated_voxels():
    p = np.array([0.5, 0.3, 0.2])
    readings = np.log(np.repeat(p[None, :, None], 4, axis=2))
    masks, rated = np.array([[1, 3, 4, 0]]), np.array([[True, True, True, False]])
    assert mask_log_likelihoods(readings, masks, ADMISSIBLE, rated).item() == pytest.approx(math.log(0.3 * 0.5))
    assert rater_log_likelihood(readings, masks, ADMISSIBLE, rated) == pytest.approx(math.log(0.15) / 2)
    # without a table only the leaf counts
    assert mask_log_likelihoods(readings, masks, None, rated).item() == pytest.approx(math.log(0.3))


def test_nobody():
    readings = log_p([0.9, 0.5])
    assert mask_log_likelihoods(readings, np.array([[1, 1]]), rated=np.zeros((1, 2), bool)).item() == 0
    assert math.isnan(rater_log_likelihood(readings, np.array([[1, 1]]), rated=np.zeros((1, 2), bool)))
    assert math.isnan(rater_log_likelihood(readings[:0], np.array([[1, 1]])))
    assert math.isnan(rater_log_likelihood(readings, np.zeros((0, 2), int)))


@given(st.integers(0, 1000), st.sampled_from([(7,), (3, 4), (2, 3, 2)]))
def test_equal_to_products_of_probabilities_whatever_the_blocks(seed, space):
    rng = np.random.default_rng(seed)
    p = np.moveaxis(rng.dirichlet(np.ones(3), (4, *space)), -1, 1)
    masks, rated = rng.integers(0, 5, (2, *space)), rng.random((2, *space)) < 0.8
    expected = []
    for mask, looked in zip(masks, rated, strict=True):
        each = np.einsum("nc...,c...->n...", p, np.moveaxis(ADMISSIBLE[mask], -1, 0))
        expected.append(math.log(np.where(looked, each, 1.0).reshape(4, -1).prod(axis=1).mean()))
    np.testing.assert_allclose(mask_log_likelihoods(np.log(p), masks, ADMISSIBLE, rated), expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probseg.analysis.rater_likelihood._BLOCK_BYTES", 200)
        np.testing.assert_allclose(mask_log_likelihoods(np.log(p), masks, ADMISSIBLE, rated), expected)
