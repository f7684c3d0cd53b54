import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.energy import (
    d_match,
    d_max,
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
    # Dice of 1100 with 1100 and 1110: 1 and 4/5; of 0000: 0 and 0. Best for each rater (1 + 4/5)/2, matched (1 + 0)/2
    assert d_max(S, Y, 2) == pytest.approx(9 / 10)
    assert d_match(S, Y, 2) == pytest.approx(1 / 2)


def test_the_best_reading_serves_several_raters_and_a_match_only_one():
    masks = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    readings = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])
    # best: 1, 1, and 0 against the empty mask; matched: 1100 with 1100, 1000 with 1100 (2/3), 1000 with 0000
    assert d_max(readings, masks, 2) == pytest.approx(2 / 3)
    assert d_match(readings, masks, 2) == pytest.approx((1 + 2 / 3 + 0) / 3)
    # with an empty reading in the place of one, agreement on absence counts 1
    readings[2] = 0
    assert d_max(readings, masks, 2) == 1
    assert d_match(readings, masks, 2) == pytest.approx((1 + 2 / 3 + 1) / 3)
    # class 2 is absent from all and counts 1: (1 + 1)/2, (2/3 + 1)/2, 1
    assert d_match(readings, masks, 3) == pytest.approx((1 + 5 / 6 + 1) / 3)


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
    for measure in (hungarian_matched_iou, d_max, d_match):
        assert math.isnan(measure(S, Y[:0], 2))
        assert math.isnan(measure(S[:0], Y, 2))


def test_an_absent_rater_is_a_dropped_one_and_not_an_empty_one():
    masks = np.concatenate([Y, np.zeros((1, 4), int)])
    rated = np.array([[True] * 4, [True] * 4, [False] * 4])
    for measure in (generalized_energy_distance, hungarian_matched_iou, d_match):
        assert measure(S, masks, 2, rated=rated) == measure(S, Y, 2)
        assert measure(S, masks, 2) != measure(S, Y, 2)
    assert d_max(S, masks, 2, rated) == d_max(S, Y, 2)
    assert energy_distance_floor(masks, 2, 2, rated=rated) == energy_distance_floor(Y, 2, 2)


@given(stacks())
def test_identical_sets_are_at_distance_nought(masks):
    assert generalized_energy_distance(masks, masks, 3) == pytest.approx(0.0, abs=1e-12)
    for measure in (hungarian_matched_iou, d_max, d_match):
        assert measure(masks, masks, 3) == pytest.approx(1.0)


@given(stacks(), stacks(), st.integers(2, 3))
def test_copies_of_both_sets_change_neither_v_nor_a_matching(readings, masks, times):
    """Sets of the same members in the same shares are the same distribution; U alone looks at how many there are."""
    many = np.repeat(readings, times, axis=0), np.tile(masks, (times, 1, 1))
    for measure in (generalized_energy_distance, hungarian_matched_iou, d_match, d_max):
        assert measure(*many, 3) == pytest.approx(measure(readings, masks, 3), abs=1e-12)


@given(stacks(), stacks())
def test_a_match_is_at_most_the_best_and_dice_at_least_iou(readings, masks):
    assert d_match(readings, masks, 3) <= d_max(readings, masks, 3) + 1e-12
    assert hungarian_matched_iou(readings, masks, 3) <= d_match(readings, masks, 3) + 1e-12


@given(stacks(), stacks(), st.randoms(use_true_random=False))
def test_order_does_not_matter(readings, masks, random):
    mixed = random.sample(range(len(readings)), len(readings)), random.sample(range(len(masks)), len(masks))
    for measure in (generalized_energy_distance, hungarian_matched_iou, d_max, d_match):
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


def test_a_perfect_model_of_masks_hits_the_floor_and_u_is_nought():
    """Raters draw discs of random size and place, and so does the model: 400 cases, 4 raters and 12 readings."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:16, :16]

    def discs(n):
        centre, radius = rng.normal(8, 1, (n, 2, 1, 1)), rng.normal(3, 1.5, (n, 1, 1))
        inside = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < np.maximum(radius, 0) ** 2
        return inside.astype(np.uint8)

    v, u, floor = np.zeros((3, 400))
    for k in range(400):
        readings, masks = discs(12), discs(4)
        v[k], u[k] = (generalized_energy_distance(readings, masks, 2, unbiased) for unbiased in (False, True))
        floor[k] = energy_distance_floor(masks, 12, 2)
    error = np.std(v - floor) / math.sqrt(400)
    assert np.mean(v) == pytest.approx(np.mean(floor), abs=4 * error)
    assert np.mean(u) == pytest.approx(0.0, abs=4 * np.std(u) / math.sqrt(400))
    assert np.mean(floor) > 10 * error  # so that the first could have failed
