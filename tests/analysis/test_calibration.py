import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.bootstrap import bootstrap
from probseg.analysis.calibration import (
    calibration_counts,
    calibration_error,
    classwise_calibration_error,
    classwise_gaps,
    expected_calibration_error,
)
from probseg.errors import ProbsegError

# Two pixels, four raters: foreground 0.7 and 0.2; three raters draw the first, one the second.
P = np.array([[0.3, 0.8], [0.7, 0.2]])
Y = np.array([[1, 0], [1, 0], [1, 1], [0, 0]])


def test_each_voxel_and_rater_is_one_trial():
    counts = calibration_counts(P, Y)
    assert counts.shape == (15, 3)
    # 0.7 is in bin [10/15, 11/15): four trials, three hits; 0.8 = 12/15 opens bin 12: four trials, three hits
    np.testing.assert_allclose(counts[10], [2.8, 3, 4])
    np.testing.assert_allclose(counts[12], [3.2, 3, 4])
    assert counts.sum() == pytest.approx(2.8 + 3 + 4 + 3.2 + 3 + 4)
    assert calibration_error(P, Y) == pytest.approx((0.2 + 0.2) / 8)


def test_a_model_that_says_the_raters_share_is_perfect():
    share = np.stack([(c == Y).mean(axis=0) for c in range(2)])
    assert calibration_error(share, Y) == pytest.approx(0.0)


def test_certainty_falls_into_the_last_bin():
    counts = calibration_counts(np.array([[0.0], [1.0]]), np.array([[1], [0]]))
    np.testing.assert_allclose(counts[14], [2, 1, 2])


def test_unrated_voxels_and_labels_beyond_the_classes_are_no_trials():
    rated = np.ones(Y.shape, dtype=bool)
    rated[3, 0] = False
    # first pixel: three trials at 0.7, three hits -> gap 0.9; second as before: gap 0.2; seven trials
    assert calibration_error(P, Y, rated=rated) == pytest.approx((0.9 + 0.2) / 7)
    beyond = Y.copy()
    beyond[3, 0] = 2
    assert calibration_error(P, beyond) == pytest.approx((0.9 + 0.2) / 7)


def test_easy_background_counts_only_when_asked_for():
    p = np.zeros((2, 100))
    p[0, 1:], p[1, 0] = 1.0, 0.6
    p[0, 0] = 0.4
    masks = np.zeros((1, 100), int)
    # region: the pixel and its five neighbours
    assert calibration_error(p, masks) == pytest.approx(0.6 / 6)
    assert calibration_error(p, masks, region=np.ones(100, dtype=bool)) == pytest.approx(0.6 / 100)


def test_nothing_drawn_is_undefined():
    assert math.isnan(calibration_error(np.stack([np.ones(4), np.zeros(4)]), np.zeros((2, 4), int)))


def test_nan_is_an_error():
    with pytest.raises(ProbsegError, match="E_NONFINITE"):
        calibration_counts(np.full((2, 3), np.nan), np.zeros((1, 3), int))


PROBABILITY = hnp.arrays(np.float64, (3, 6), elements=st.floats(0.01, 1)).map(lambda p: p / p.sum(axis=0))
MASKS = hnp.arrays(np.uint8, (4, 6), elements=st.integers(0, 2))


@given(PROBABILITY, MASKS, st.permutations(range(4)))
def test_raters_may_come_in_any_order_and_parts_add_up(probability, masks, order):
    whole = calibration_counts(probability, masks)
    np.testing.assert_allclose(whole, calibration_counts(probability, masks[order]))
    left = np.arange(6) < 3
    parts = [calibration_counts(probability, masks, region=part) for part in (left, ~left)]
    np.testing.assert_allclose(whole, parts[0] + parts[1])
    assert whole[:, 2].sum() == 24
    assert 0.0 <= expected_calibration_error(whole) <= 1.0


@pytest.mark.oracle
def test_one_rater_is_torchmetrics():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=500)
    y = rng.integers(0, 4, 500)
    oracle = functional.multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(y), 4, n_bins=15, norm="l1")
    assert calibration_error(p.T, y[None], region=np.ones(500, dtype=bool)) == pytest.approx(float(oracle), abs=1e-6)


def test_counts_of_cases_go_through_the_bootstrap():
    rng = np.random.default_rng(0)
    counts = [calibration_counts(rng.dirichlet(np.ones(2), 50).T, rng.integers(0, 2, (2, 50))) for _ in range(20)]
    interval = bootstrap(
        np.stack(counts), np.arange(20), lambda sums: expected_calibration_error(sums.reshape(*sums.shape[:-1], 15, 3))
    )
    assert interval.value == pytest.approx(float(expected_calibration_error(np.sum(counts, axis=0))))
    assert interval.low < interval.high


def test_bins_of_equal_mass_by_hand():
    """Four voxels of one class, two bins: (0.1, 0.3) with shares 0 and 0.5, (0.6, 0.8) with shares 0.5 and 1."""
    p, q = np.array([[0.6, 0.1, 0.8, 0.3]]), np.array([[0.5, 0.0, 1.0, 0.5]])
    # mean p 0.2 against 0.25, and 0.7 against 0.75
    assert classwise_gaps(p, q, bins=2) == pytest.approx([0.05])
    # one bin: 0.45 against 0.5; four: gaps 0.1, 0.2, 0.1, 0.2
    assert classwise_gaps(p, q, bins=1) == pytest.approx([0.05])
    assert classwise_gaps(p, q, bins=4) == pytest.approx([0.15])
    # three: 4/3 voxels each. 0.1 + 0.3/3 less 0.5/3; 2/3 of (0.3 - 0.5) and of (0.6 - 0.5); 0.6/3 + 0.8 less 0.5/3 + 1
    assert classwise_gaps(p, q, bins=3) == pytest.approx([(0.1 / 3 + 0.2 / 3 + 0.5 / 3) / 4])


def test_classes_count_alike_and_trials_by_their_number():
    # P and Y, one bin a class and four trials a voxel. Class 0: mean p 0.55, hits 1 + 3 of 8; class 1 the same gap
    assert classwise_calibration_error(P, Y, bins=1) == pytest.approx(0.05)
    # two bins: class 0 has 0.3 against 1/4 and 0.8 against 3/4
    assert classwise_calibration_error(P, Y, bins=2) == pytest.approx(0.05)
    rated = np.ones(Y.shape, dtype=bool)
    rated[3, 0] = False
    # seven trials. Class 0: 3 x 0.3 + 4 x 0.8 = 4.1 against 3 hits; class 1: 2.1 + 0.8 = 2.9 against 4
    assert classwise_calibration_error(P, Y, bins=1, rated=rated) == pytest.approx(1.1 / 7)
    beyond = Y.copy()
    beyond[3, 0] = 2
    assert classwise_calibration_error(P, beyond, bins=1) == pytest.approx(1.1 / 7)


def test_the_region_of_classwise_error_is_that_of_the_top_class():
    p = np.zeros((2, 100))
    p[0], p[1, 0] = 1.0, 0.6
    p[0, 0] = 0.4
    masks = np.zeros((1, 100), int)
    # the pixel and its five neighbours, one bin: off by 0.6 / 6 in either class
    assert classwise_calibration_error(p, masks, bins=1) == pytest.approx(0.1)
    assert classwise_calibration_error(p, masks, region=np.ones(100, dtype=bool), bins=1) == pytest.approx(0.006)
    assert math.isnan(classwise_calibration_error(np.stack([np.ones(4), np.zeros(4)]), np.zeros((2, 4), int)))


def test_a_class_that_is_wrong_both_ways_is_seen_though_its_mean_is_right():
    p, q = np.array([[0.2] * 50 + [0.8] * 50]), np.full((1, 100), 0.5)
    assert classwise_gaps(p, q, bins=1) == pytest.approx([0.0])
    assert classwise_gaps(p, q, bins=2) == pytest.approx([0.3])


def test_nan_is_an_error_of_classwise_gaps_too():
    with pytest.raises(ProbsegError, match="E_NONFINITE"):
        classwise_gaps(np.full((2, 3), np.nan), np.zeros((2, 3)))


@given(hnp.arrays(np.float64, (2, 12), elements=st.sampled_from([0.1, 0.25, 0.7])), st.permutations(range(12)))
def test_the_order_of_voxels_makes_no_difference_though_probabilities_tie(p, order):
    hits = (np.arange(24).reshape(2, 12) % 5) / 4.0
    trials = np.arange(12) % 3 + 2.0
    whole = classwise_gaps(p, hits, trials, bins=4)
    np.testing.assert_allclose(whole, classwise_gaps(p[:, order], hits[:, order], trials[order], bins=4), atol=1e-12)
    np.testing.assert_allclose(classwise_gaps(p, p * trials, trials, bins=4), 0, atol=1e-12)


@pytest.mark.oracle
def test_one_rater_and_bins_that_divide_are_scikit_learn():
    calibration = pytest.importorskip("sklearn.calibration")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=600)
    y = rng.integers(0, 3, 600)
    hits = np.stack([y == c for c in range(3)])
    for c, gap in enumerate(classwise_gaps(p.T, hits, bins=15)):
        share, mean = calibration.calibration_curve(hits[c], p[:, c], n_bins=15, strategy="quantile")
        assert gap == pytest.approx(np.abs(share - mean).mean(), abs=1e-12)
