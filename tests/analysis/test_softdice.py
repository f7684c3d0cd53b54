import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.softdice import THRESHOLDS, soft_dice


def test_by_hand():
    masks = np.array([[1, 1, 0], [1, 0, 0]])  # share 1, 1/2, 0
    probability = np.array([0.9, 0.2, 0.3])
    # above .25: {0, 1} against {0, 2}: 2/4; above .75: {0} against {0}: 1
    assert soft_dice(probability, masks, (0.25, 0.75)) == pytest.approx(3 / 4)


def test_votes_are_counted_and_not_rounded():
    masks = np.zeros((10, 1), int)
    masks[:3] = 1
    # three of ten are not above 0.3: drawn by the prediction only
    assert soft_dice(np.array([0.31]), masks, (0.3,)) == 0.0
    assert soft_dice(np.array([0.31]), masks, (0.2,)) == 1.0


def test_empty_thresholds_are_left_out():
    masks = np.array([[1, 0], [0, 0]])  # share 1/2
    assert soft_dice(np.array([0.5, 0.0]), masks, (0.25, 0.75)) == 1.0
    assert math.isnan(soft_dice(np.zeros(2), np.zeros((2, 2), int), THRESHOLDS))


def test_classes_are_averaged_and_beyond_them_is_not_rated():
    masks = np.array([[1, 2, 0, 3]])
    probability = np.stack([np.array([0, 1, 1, 0.0]), np.array([1, 0, 0, 0.0]), np.array([0, 0, 0, 1.0])])
    # class 1: 1; class 2: drawn at pixel 1, predicted at pixel 3, which nobody rated: 0
    assert soft_dice(probability, masks, (0.5,)) == pytest.approx(0.5)


@given(hnp.arrays(np.uint8, (5, 3, 4), elements=st.integers(0, 1)))
def test_the_raters_own_mean_is_perfect(masks):
    score = soft_dice(masks.mean(axis=0), masks, (0.15, 0.45, 0.85))
    assert math.isnan(score) if not masks.any() else score == 1.0


@given(hnp.arrays(np.uint8, (3, 8), elements=st.integers(0, 1)), hnp.arrays(np.float64, 8, elements=st.floats(0, 1)))
def test_binary_maps_and_two_classes_agree(masks, p):
    assert soft_dice(p, masks) == pytest.approx(soft_dice(np.stack([1 - p, p]), masks), nan_ok=True)


def test_a_missing_rater_is_a_dropped_one():
    rng = np.random.default_rng(0)
    masks, p = rng.integers(0, 2, (3, 30)), rng.random(30)
    rated = np.ones(masks.shape, dtype=bool)
    rated[1] = False
    assert soft_dice(p, masks, rated=rated) == soft_dice(p, masks[[0, 2]])
