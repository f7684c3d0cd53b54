"""CURVAS's figures: by hand, and against the libraries that its released evaluation calls."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm

from probseg.analysis.challenges.curvas import (
    consensus_confidence,
    consensus_dice,
    consensus_dice_of_lines,
    gaussian_volume_crps,
    rater_calibration_errors,
    trunk,
)
from probseg.errors import ProbsegError

MASKS = hnp.arrays(np.uint8, (3, 3, 4, 5), elements=st.integers(0, 3))
MODES = hnp.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3))


def test_dice_leaves_out_what_raters_dispute():
    masks = np.array([[2, 2, 2, 0, 0, 1], [2, 2, 0, 0, 0, 2], [2, 2, 0, 0, 2, 2]])
    # all: voxels 0, 1; none: voxel 3; the rest is disputed. Predicted there: 0 and 3.
    assert consensus_dice(np.array([2, 0, 2, 2, 2, 2]), masks, 2) == pytest.approx(2 * 1 / (2 + 2))
    assert consensus_dice(np.array([2, 2, 0, 0, 0, 0]), masks, 2) == 1.0
    assert math.isnan(consensus_dice(np.zeros(6), masks, 3))


def test_what_one_rater_did_not_see_is_no_consensus():
    masks, rated = np.ones((2, 3), int), np.ones((2, 3), bool)
    rated[1, 2] = False
    assert consensus_dice(np.array([1, 1, 0]), masks, 1, rated) == 1.0
    assert math.isnan(consensus_confidence(np.ones(3), masks, 1, rated))


def test_confidence_by_hand():
    masks = np.array([[1, 1, 0, 0], [1, 0, 0, 0]])
    # inside .8; outside the mean of .3 and .1; the disputed voxel does not count
    assert consensus_confidence(np.array([0.8, 0.0, 0.3, 0.1]), masks, 1) == pytest.approx((0.8 + 1 - 0.2) / 2)
    assert math.isnan(consensus_confidence(np.ones(4), masks, 2))


def test_lines_by_hand():
    masks = np.zeros((2, 2, 3, 4), int)
    masks[:, 0, 1, :2] = masks[:, 0, 2, :1] = masks[:, 1, 1, :3] = 1
    masks[:, 0, 0] = 1  # the first row of a slice is never counted
    mode = np.zeros((2, 3, 4), int)
    mode[0, 1, :1] = mode[0, 2, :1] = 1  # 2/3 and 1
    mode[1, 2] = 1  # beside what was drawn in row 1, which scores 0; row 2, where nothing was drawn, does not count
    assert consensus_dice_of_lines(mode, masks, 1) == pytest.approx(((2 / 3 + 1) / 2 + 0) / 2)
    assert math.isnan(consensus_dice_of_lines(mode, masks, 2))
    with pytest.raises(ProbsegError, match="E_NDIM"):
        consensus_dice_of_lines(mode[0], masks[:, 0], 1)


@settings(max_examples=25)
@given(MODES, MASKS, st.integers(1, 3))
def test_lines_are_what_monai_makes_of_slices_and_rows(mode, masks, label):
    from monai.metrics import DiceMetric

    own = masks == label
    drawn, disputed = own.all(axis=0), own.any(axis=0) & ~own.all(axis=0)
    metric = DiceMetric(include_background=False, reduction="mean", get_not_nans=False, ignore_empty=True)
    metric(*(torch.from_numpy(x.astype(np.uint8)) for x in ((mode == label) & ~disputed, drawn)))
    found = consensus_dice_of_lines(mode, masks, label)
    assert metric.aggregate().item() == pytest.approx(0.0 if math.isnan(found) else found, abs=1e-6)


def test_calibration_is_torchmetrics_of_each_rater():
    from torchmetrics.classification import MulticlassCalibrationError

    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 6, 7, 8)) * 4
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    p[:, :, :2] = np.eye(4)[1][:, None, None, None]  # quite sure, which is a bin of its own
    masks = rng.integers(0, 4, (3, 6, 7, 8))
    metric = MulticlassCalibrationError(num_classes=4, n_bins=50)
    flat = torch.from_numpy(np.moveaxis(p, 0, -1).reshape(-1, 4))
    expected = [float(metric(flat, torch.from_numpy(m.reshape(-1)))) for m in masks]
    assert rater_calibration_errors(p, masks) == pytest.approx(expected, abs=1e-6)


def test_a_bin_of_its_own_for_certainty_by_hand():
    p = np.array([[0.0, 0.005], [1.0, 0.995]])
    # 1 hits and .995 misses: |1 - 1| and |.995 - 0|, over two voxels; in one bin it were |1.995 - 1| / 2 as well,
    # so let the sure one miss: |1 - 0| + |.995 - 1| against |1.995 - 1|
    assert rater_calibration_errors(p, np.array([[0, 1]]))[0] == pytest.approx((1 + 0.005) / 2)
    nobody = rater_calibration_errors(p, np.array([[0, 1]]), np.zeros((1, 2), bool))
    assert np.isnan(nobody).all()


@pytest.mark.parametrize("predicted", [60.0, 88.0, 103.5, 121.0, 500.0])
def test_crps_is_the_integral(predicted):
    observed = [90.0, 101.0, 118.0]
    mean, spread = float(np.mean(observed)), float(np.std(observed))
    x = np.linspace(norm.ppf(0.01), norm.ppf(0.99), 100) * spread + mean

    edges = np.linspace(mean - 3 * spread, mean + 3 * spread, 1_000_001)
    y = (edges[1:] + edges[:-1]) / 2
    f = np.interp(y, x, norm.cdf((x - mean) / spread), left=0.0, right=1.0)
    value = ((f - (y >= predicted)) ** 2).mean() * 6 * spread
    assert gaussian_volume_crps(predicted, observed) == pytest.approx(value, rel=1e-5)


def test_crps_within_reach_is_nearly_that_of_the_whole_gaussian():
    observed = np.array([90.0, 100.0, 110.0])
    spread = observed.std()
    for z in (-2.0, 0.0, 1.5):
        closed = spread * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
        assert gaussian_volume_crps(100 + z * spread, observed) == pytest.approx(closed, rel=2e-3)


@given(st.floats(-50, 300), hnp.arrays(np.float64, 3, elements=st.floats(80, 120)), st.floats(0.1, 1000))
def test_crps_is_in_the_unit_of_the_volumes(predicted, observed, factor):
    if np.std(observed) < 0.1:
        observed = np.array([80.0, 100.0, 110.0])
    one, other = gaussian_volume_crps(predicted, observed), gaussian_volume_crps(predicted * factor, observed * factor)
    assert other == pytest.approx(one * factor, rel=1e-6)
    assert 0.23 * np.std(observed) <= one <= 2.45 * np.std(observed)


def test_crps_needs_raters_who_differ():
    assert math.isnan(gaussian_volume_crps(3.0, [5.0, 5.0]))
    assert math.isnan(gaussian_volume_crps(3.0, []))
    assert math.isnan(gaussian_volume_crps(math.nan, [5.0, 6.0]))
    assert gaussian_volume_crps(3.0, [1.0, math.nan, 4.0]) == gaussian_volume_crps(3.0, [1.0, 4.0])


def test_the_trunk_is_cut_in_rows_and_columns_only():
    image = np.full((4, 6, 7), -900)
    image[1, 2, 3] = image[2, 4, 5] = 10
    assert trunk(image) == (slice(2, 5), slice(3, 6))
    assert trunk(np.zeros((2, 3, 4))) == (slice(0, 3), slice(0, 4))
