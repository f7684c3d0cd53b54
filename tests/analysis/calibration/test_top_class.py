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
    expected_calibration_error,
    maximum_calibration_error,
    reliability_curve,
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


def slow_counts(p, masks, rated, bins):
    """One trial after the other, in Python's own numbers."""
    counts = np.zeros((bins, 3))
    for voxel in np.ndindex(p.shape[1:]):
        column = p[(slice(None), *voxel)]
        top = int(np.argmax(column))
        k = min(int(column[top] * column.dtype.type(bins)), bins - 1)
        for r in range(len(masks)):
            label = masks[(r, *voxel)]
            if rated[(r, *voxel)] and 0 <= label < len(p):
                counts[k] += [float(column[top]), label == top, 1]
    return counts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("classes", "raters", "bins"), [(2, 1, 15), (3, 4, 15), (5, 9, 100), (300, 2, 7)])
def test_counts_are_those_of_a_slow_count(dtype, classes, raters, bins):
    rng = np.random.default_rng(classes)
    p = rng.dirichlet(np.full(classes, 0.4), size=(5, 13)).astype(dtype).transpose(2, 0, 1)
    masks = rng.integers(-1, classes + 2, (raters, 5, 13)).astype(np.int16)
    rated = rng.uniform(size=masks.shape) < 0.8
    got = calibration_counts(p, masks, rated, bins=bins)
    slow = slow_counts(p, masks, rated, bins)
    assert (got[:, 1:] == slow[:, 1:]).all()
    np.testing.assert_allclose(got[:, 0], slow[:, 0], atol=1e-6)
    region = rng.uniform(size=(5, 13)) < 0.5
    parts = [calibration_counts(p, masks, rated, part, bins) for part in (region, ~region)]
    np.testing.assert_allclose(parts[0] + parts[1], got, atol=1e-6)


def test_many_blocks_lose_nothing():
    rng = np.random.default_rng(1)
    p = rng.dirichlet([0.3, 0.3], size=100_000).astype(np.float32).T
    masks = rng.integers(0, 2, (3, 100_000)).astype(np.uint8)
    got = calibration_counts(p, masks)
    index = np.minimum((p.max(axis=0) * np.float32(15)).astype(int), 14)
    assert (got[:, 2] == 3 * np.bincount(index, minlength=15)).all()
    exact = np.bincount(index, 3 * p.max(axis=0).astype(float), minlength=15)
    np.testing.assert_allclose(got[:, 0], exact, rtol=1e-9)


def test_beyond_one_is_an_error_and_a_speck_above_it_is_not():
    with pytest.raises(ProbsegError, match="E_NONFINITE"):
        calibration_counts(np.array([[-0.5], [1.5]]), np.array([[1]]))
    assert calibration_counts(np.array([[0.0], [1.0000001]]), np.array([[1]]))[14, 2] == 1


def test_other_spaces_are_an_error():
    with pytest.raises(ProbsegError, match=r"E_SHAPE_MISMATCH.*\(2,\).*\(3,\)"):
        calibration_counts(P, np.zeros((1, 3), int))
    with pytest.raises(ProbsegError, match="E_SHAPE_MISMATCH"):
        calibration_counts(P, Y, region=np.ones(3, dtype=bool))


def test_the_largest_gap_and_the_curve():
    counts = np.zeros((3, 3))
    counts[0], counts[2] = [1.0, 2, 5], [9.0, 6, 10]  # 0.2 stated, 0.4 chosen; 0.9 stated, 0.6 chosen
    assert maximum_calibration_error(counts) == pytest.approx(0.3)
    assert expected_calibration_error(counts) == pytest.approx((1 + 3) / 15)
    confidence, frequency, trials = reliability_curve(counts)
    assert (trials.tolist(), trials.dtype) == ([5, 0, 10], np.int64)
    np.testing.assert_allclose(confidence, [0.2, np.nan, 0.9])
    np.testing.assert_allclose(frequency, [0.4, np.nan, 0.6])
    both = maximum_calibration_error(np.stack([counts, np.zeros((3, 3))]))
    assert both[0] == pytest.approx(0.3)
    assert math.isnan(both[1])


@pytest.mark.oracle
def test_one_rater_is_netcal():
    metrics = pytest.importorskip("netcal.metrics")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=500)
    y = rng.integers(0, 4, 500)
    counts = calibration_counts(p.T, y[None])
    assert expected_calibration_error(counts) == pytest.approx(metrics.ECE(15).measure(p, y), abs=1e-9)
    assert maximum_calibration_error(counts) == pytest.approx(metrics.MCE(15).measure(p, y), abs=1e-9)


@pytest.mark.oracle
def test_the_largest_gap_is_torchmetrics():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(3)
    p, y = rng.dirichlet(np.ones(3), size=400), rng.integers(0, 3, 400)
    oracle = functional.multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(y), 3, n_bins=15, norm="max")
    assert maximum_calibration_error(calibration_counts(p.T, y[None])) == pytest.approx(float(oracle), abs=1e-6)


def test_no_rater_and_hundreds_of_them():
    assert not calibration_counts(P, np.zeros((0, 2), int)).any()
    counts = calibration_counts(P, np.repeat(Y, 100, axis=0))
    np.testing.assert_allclose(counts, 100 * calibration_counts(P, Y))
