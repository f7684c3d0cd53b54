import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.energy import (
    energy_distance_floor,
    generalized_energy_distance,
    hungarian_matched_iou,
    matched_similarity,
    mean_distinct,
    squared_energy_distance,
)
from probseg.analysis.overlap import iou_matrix

# The worked example of the metrics' definition: 1 x 4 images, binary.
Y = np.array([[1, 1, 0, 0], [1, 1, 1, 0]])
S = np.array([[1, 1, 0, 0], [0, 0, 0, 0]])


def stacks(least: int = 2, most: int = 4):
    return st.integers(least, most).flatmap(lambda n: hnp.arrays(np.uint8, (n, 2, 3), elements=st.integers(0, 2)))


def test_check_values():
    assert generalized_energy_distance(S, Y, 2) == pytest.approx(7 / 6 - 1 / 2 - 1 / 6)
    assert generalized_energy_distance(S, Y, 2, unbiased=True) == pytest.approx(-1 / 6)
    assert energy_distance_floor(Y, 2, 2) == pytest.approx(1 / 3)
    assert hungarian_matched_iou(S, Y, 2) == pytest.approx(1 / 2)


def test_check_values_in_two_and_three_dimensions():
    for shape in ((2, 2), (2, 1, 2), (1, 2, 2)):
        readings, masks = S.reshape(2, *shape), Y.reshape(2, *shape)
        assert generalized_energy_distance(readings, masks, 2) == pytest.approx(1 / 2)
        assert hungarian_matched_iou(readings, masks, 2) == pytest.approx(1 / 2)


def test_matching_is_not_best_of_n():
    # Raters 1100 and 0000; readings: three times 1100, once 0000. Replicated raters are two of each, so one reading
    # 1100 must go to a rater 0000: (1 + 1 + 0 + 1) / 4. Best-of-N would say 1.
    masks, readings = Y[[0]].repeat(2, axis=0) * [[1], [0]], np.array([[1, 1, 0, 0]] * 3 + [[0, 0, 0, 0]])
    assert hungarian_matched_iou(readings, masks, 2) == pytest.approx(3 / 4)


def test_one_rater_or_one_reading_leaves_unbiased_terms_undefined():
    assert math.isnan(generalized_energy_distance(S, Y[:1], 2, unbiased=True))
    assert math.isnan(generalized_energy_distance(S[:1], Y, 2, unbiased=True))
    assert math.isnan(energy_distance_floor(Y[:1], 8, 2))
    # V with one rater: d(S,Y) = 0, 1 -> 2 * 1/2 - 1/2 - 0
    assert generalized_energy_distance(S, Y[:1], 2) == pytest.approx(1 / 2)
    assert math.isnan(generalized_energy_distance(S, Y[:0], 2))
    assert math.isnan(hungarian_matched_iou(S, Y[:0], 2))


def test_an_absent_rater_is_a_dropped_one_and_not_an_empty_one():
    masks = np.concatenate([Y, np.zeros((1, 4), int)])
    rated = np.array([[True] * 4, [True] * 4, [False] * 4])
    for measure in (generalized_energy_distance, hungarian_matched_iou):
        assert measure(S, masks, 2, rated=rated) == measure(S, Y, 2)
        assert measure(S, masks, 2) != measure(S, Y, 2)
    assert energy_distance_floor(masks, 2, 2, rated=rated) == energy_distance_floor(Y, 2, 2)


@given(stacks())
def test_identical_sets_are_at_distance_nought(masks):
    assert generalized_energy_distance(masks, masks, 3) == pytest.approx(0.0, abs=1e-12)
    assert hungarian_matched_iou(masks, masks, 3) == pytest.approx(1.0)


@given(stacks(), stacks(), st.randoms(use_true_random=False))
def test_order_does_not_matter(readings, masks, random):
    mixed = random.sample(range(len(readings)), len(readings)), random.sample(range(len(masks)), len(masks))
    for measure in (generalized_energy_distance, hungarian_matched_iou):
        assert measure(readings[mixed[0]], masks[mixed[1]], 3) == pytest.approx(measure(readings, masks, 3), abs=1e-12)


@given(stacks(), stacks())
def test_v_is_u_plus_the_share_of_self_pairs(readings, masks):
    """Each mean over all pairs is (1 - 1/n) of the mean over distinct pairs."""
    v, u = (generalized_energy_distance(readings, masks, 3, unbiased) for unbiased in (False, True))
    diversity = mean_distinct(1 - iou_matrix(readings, readings, 3))
    disagreement = mean_distinct(1 - iou_matrix(masks, masks, 3))
    assert v == pytest.approx(u + diversity / len(readings) + disagreement / len(masks))
    assert v >= -1e-9


@given(stacks(), stacks())
def test_the_best_matching_is_no_worse_than_chance_and_survives_copies(readings, masks):
    similarity = iou_matrix(readings, masks, 3)
    best = matched_similarity(similarity)
    assert similarity.mean() - 1e-12 <= best <= 1.0
    assert matched_similarity(np.repeat(similarity, 3, axis=0)) == pytest.approx(best)


def test_the_floor_is_what_a_perfect_model_scores():
    """Readings and raters from one distribution: the mean of V is the floor, the mean of U is 0."""
    rng = np.random.default_rng(0)
    pool = rng.random((40, 40))
    pool = np.abs(pool[:, None] - pool[None]).mean(axis=2)  # a metric on 40 points
    v, u, floor = [], [], []
    for _ in range(4000):
        s, y = rng.integers(0, 40, 8), rng.integers(0, 40, 4)
        d = pool[np.ix_(s, y)], pool[np.ix_(s, s)], pool[np.ix_(y, y)]
        v.append(squared_energy_distance(*d))
        u.append(squared_energy_distance(*d, unbiased=True))
        floor.append(mean_distinct(d[2]) * (1 / 4 + 1 / 8))
    error = np.std(v) / math.sqrt(4000)
    assert np.mean(v) == pytest.approx(np.mean(floor), abs=5 * error)
    assert np.mean(u) == pytest.approx(0.0, abs=5 * error)
