from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from probseg.analysis.volume_intervals import LEVELS, rater_volumes_expected, volume_intervals
from probseg.errors import ProbsegError

SCANS, RATERS = 400, 3


def shares_held(draws: int, voxels: float, spread: float, voxel: float | None) -> np.ndarray:
    """Share of simulated raters inside each interval, who are draws of the model and count whole voxels."""
    rng, held = np.random.default_rng(7), []
    for _ in range(SCANS):
        expected = voxels * np.exp(rng.normal() + spread * rng.normal(size=draws + RATERS))
        found = rng.poisson(expected[draws:])
        low, high = volume_intervals(expected[:draws], LEVELS, voxel)[:, :, None].transpose(1, 0, 2)
        held.append(((low <= found) & (found <= high)).mean(axis=1))
    return np.mean(held, axis=0)


@pytest.mark.parametrize("voxels", [0.05, 2.0, 50.0, 1e4])
@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_a_perfect_model_covers_from_tiny_to_large(voxels, spread):
    held = shares_held(99, voxels, spread, 1.0)
    nominal = np.array(LEVELS) / 100
    # raters of a scan share its draws, so the scans are the trials: a band of four standard errors
    band = 4 * np.sqrt(nominal * (1 - nominal) / SCANS)
    assert (held >= nominal - band).all()
    if voxels == 1e4:  # whole voxels no longer matter, so that intervals may not hold more than they promise either
        assert (held <= nominal + band).all()


def test_without_whole_voxels_tiny_structures_are_not_covered():
    assert shares_held(99, 2.0, 0.05, None)[2] < 0.2
    assert shares_held(99, 0.05, 0.05, None)[2] < 0.05  # nobody finds anything, and no draw is 0


def test_readings_of_split_probability_do_not_cover_and_sums_do():
    """Six classes share what is 60 % foreground: background wins every voxel of every draw."""
    rng = np.random.default_rng(0)
    held = {"sums": [], "readings": []}
    for _ in range(100):
        share = np.clip(0.6 + 0.05 * rng.normal(size=40), 0.45, 0.75)  # of foreground, in each draw and one rater
        sums = 1000 * share[:-1]
        readings = np.where(share[:-1] / 6 > 1 - share[:-1], 1000.0, 0.0)
        found = rng.binomial(1000, share[-1])
        for name, draws in (("sums", sums), ("readings", readings)):
            low, high = volume_intervals(draws, [80], 1.0)[0]
            held[name].append(low <= found <= high)
    assert np.mean(held["readings"]) == 0
    assert 0.65 <= np.mean(held["sums"]) <= 0.95


def test_few_draws_hold_what_they_can():
    # of S draws and a rater who is one more, the rater lies between the extremes in (S - 1) / (S + 1) of cases
    low, high = volume_intervals(np.arange(16.0), [95])[0]
    assert (low, high) == (0, 15)
    rng = np.random.default_rng(1)
    values = rng.normal(size=(17, 20000))
    low, high = volume_intervals(values[:16], [95])[0]
    assert ((low <= values[16]) & (values[16] <= high)).mean() == pytest.approx(15 / 17, abs=0.01)
    q = np.quantile(values[:16], [0.025, 0.975], axis=0)  # what NumPy does by itself
    assert ((q[0] <= values[16]) & (values[16] <= q[1])).mean() == pytest.approx(0.84, abs=0.01)


@given(st.integers(2, 60), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_without_voxels_it_is_the_weibull_quantile(num, seed):
    draws = np.random.default_rng(seed).normal(size=(num, 3))
    found = volume_intervals(draws, LEVELS)
    for k, level in enumerate(LEVELS):
        tail = (1 - level / 100) / 2
        expected = np.quantile(draws, [tail, 1 - tail], axis=0, method="weibull")
        np.testing.assert_allclose(found[k], expected)


@pytest.mark.parametrize("mean", [0.0, 0.3, 4.0, 19.9, 20.1, 400.0])
def test_what_raters_find_is_poisson(mean):
    points = rater_volumes_expected([[mean * 0.5]], 0.5)[0, :, 0] / 0.5
    oracle = stats.poisson.ppf((np.arange(32) + 0.5) / 32, mean)
    if mean < 20:
        np.testing.assert_array_equal(points, oracle)
    else:  # normal with skewness: a voxel off here and there
        assert np.abs(points - oracle).max() <= 1
        assert points.mean() == pytest.approx(mean, rel=0.01)


def test_one_draw_and_unknown_volumes_have_no_interval():
    assert np.isnan(volume_intervals([[3.0]])).all()
    found = volume_intervals([[1.0, np.nan], [2.0, 3.0]], [50], 0.1)
    assert np.isfinite(found[..., 0]).all() and np.isnan(found[..., 1]).all()
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        volume_intervals([1.0, 2.0], [100])
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        volume_intervals([1.0, 2.0], voxel=0.0)
