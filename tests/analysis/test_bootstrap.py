import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from probseg.analysis.bootstrap import (
    bca_levels,
    bootstrap,
    bootstrap_columns,
    bootstrap_mean,
    patient_weights,
    ratio,
)
from probseg.errors import ProbsegError


def test_the_value_is_the_figure_and_n_counts_cases():
    interval = bootstrap_mean([1.0, 2.0, math.nan, 3.0], ["a", "a", "b", "c"])
    assert interval.value == pytest.approx(2.0)
    assert interval.n == 3
    # patients a (1, 2) and c (3): a sample is aa, ac or cc, so the interval ends at 1.5 and 3
    assert (interval.low, interval.high) == (1.5, 3.0)


def test_no_interval_from_one_patient_and_nothing_from_none():
    one = bootstrap_mean([1.0, 2.0], ["a", "a"])
    assert one.value == 1.5
    assert one.n == 2
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    none = bootstrap_mean([math.nan, math.nan], ["a", "b"])
    assert none.n == 0
    assert math.isnan(none.value)


def test_a_ratio_of_sums_is_not_a_mean_of_ratios():
    interval = bootstrap(np.array([[1.0, 2.0], [9.0, 10.0]]), ["a", "b"], ratio)
    assert interval.value == pytest.approx(10 / 12)
    assert (interval.low, interval.high) == (pytest.approx(0.5), pytest.approx(0.9))


def test_every_sample_draws_as_many_patients():
    weights = patient_weights(7, 200, seed=3)
    assert weights.shape == (200, 7)
    np.testing.assert_array_equal(weights.sum(axis=1), 7)


def test_it_draws_patients_and_not_cases():
    """Twenty copies of a patient's cases leave the interval as it is."""
    values, patients = np.random.default_rng(0).normal(size=30), [f"p{k}" for k in range(30)]
    assert bootstrap_mean(np.repeat(values, 20), np.repeat(patients, 20)).low == pytest.approx(
        bootstrap_mean(values, patients).low
    )


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hit, trials = 0, 400
    for k in range(trials):
        patient = rng.normal(size=40)
        values = np.repeat(patient, 3) + 0.3 * rng.normal(size=120)
        interval = bootstrap_mean(values, np.repeat(np.arange(40), 3), samples=400, seed=k)
        hit += interval.low <= 0.0 <= interval.high
    # 95 % with 400 trials has a standard error of 1.1 %; percentile intervals of 40 patients lose about 1 %
    assert 0.90 <= hit / trials <= 0.98


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20), st.integers(0, 5))
def test_order_of_cases_does_not_matter(values, seed):
    patients = np.array([f"p{k % 4}" for k in range(len(values))])
    order = np.random.default_rng(seed).permutation(len(values))
    first, second = bootstrap_mean(values, patients), bootstrap_mean(np.array(values)[order], patients[order])
    assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high), abs=1e-9)


def test_bca_by_hand():
    # Draws 1..9 about 5 with nothing skew: half of what equals the value counts as below, so z0 = 0, and the levels
    # are those of the percentile interval.
    drawn, even = np.arange(1.0, 10.0), np.array([4.0, 5.0, 6.0])
    assert bca_levels(5.0, drawn, even) == (pytest.approx(0.025), pytest.approx(0.975))
    # Jackknife values 0, 0, 3 have mean 1: influence 1, 1, -2, so a = (1 + 1 - 8) / (6 (1 + 1 + 4)^1.5) = -0.06804.
    a, z = -0.0680414, 1.959964
    low, high = bca_levels(5.0, drawn, np.array([0.0, 0.0, 3.0]))
    assert low == pytest.approx(norm.cdf(-z / (1 + a * z)), abs=1e-6)
    assert high == pytest.approx(norm.cdf(z / (1 - a * z)), abs=1e-6)


def test_bca_of_what_does_not_vary_has_no_width():
    interval = bootstrap_mean(np.full(8, 0.1), np.arange(8), method="bca")
    assert (interval.low, interval.high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_an_interval_of_another_kind_is_refused():
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        bootstrap_mean([1.0, 2.0], ["a", "b"], method="normal")  # type: ignore[arg-type]


@pytest.mark.oracle
@given(st.integers(0, 1000), st.integers(4, 40))
@settings(max_examples=25, deadline=None)
def test_bca_equals_scipy_where_each_patient_has_one_case(seed, n):
    """The same draws, so the same interval, for a mean and for a ratio of sums."""
    rng = np.random.default_rng(seed)
    top, bottom = rng.gamma(0.7, size=n), rng.gamma(3.0, size=n)
    weights = patient_weights(n, 500, seed) / n
    for columns, figure, statistic in (
        (np.stack([top, np.ones(n)], axis=1), ratio, lambda x, axis: x.mean(axis=axis)),
        (np.stack([top, bottom], axis=1), ratio, lambda x, y, axis: x.mean(axis=axis) / y.mean(axis=axis)),
    ):
        data = (top,) if np.all(columns[:, 1] == 1) else (top, bottom)
        drawn = ratio(weights @ columns)
        known = scipy.stats.bootstrap(data, statistic, n_resamples=2, paired=len(data) > 1, method="percentile", rng=0)
        whole = statistic(*data, axis=-1)  # a draw of everyone once is the whole, whatever the order of the sum
        known.bootstrap_distribution = np.where(np.isclose(drawn, whole, rtol=1e-12, atol=0), whole, drawn)
        expected = scipy.stats.bootstrap(
            data, statistic, n_resamples=0, paired=len(data) > 1, method="BCa", bootstrap_result=known, vectorized=True
        ).confidence_interval
        found = bootstrap(columns, np.arange(n), figure, samples=500, seed=seed, method="bca")
        assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_bca_misses_a_skewed_mean_on_either_side_alike():
    rng = np.random.default_rng(7)
    above, below = {"bca": 0, "percentile": 0}, {"bca": 0, "percentile": 0}
    for k in range(400):
        values = np.repeat(rng.exponential(size=15), 2)
        for method in ("bca", "percentile"):
            interval = bootstrap_mean(values, np.repeat(np.arange(15), 2), 400, k, method)  # type: ignore[arg-type]
            above[method] += interval.high < 1.0
            below[method] += interval.low > 1.0
    # Percentile intervals of a skewed mean end too soon above, and BCa's corrects for skewness.
    assert above["bca"] < above["percentile"]
    assert above["bca"] - below["bca"] < (above["percentile"] - below["percentile"]) / 1.5


@given(st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_many_figures_at_once_are_each_as_alone(seed):
    rng = np.random.default_rng(seed)
    statistics = rng.random((12, 5, 2))
    statistics[rng.random((12, 5)) < 0.2] = np.nan
    patients = rng.integers(5, size=12)
    for method in ("percentile", "bca"):
        together = bootstrap_columns(statistics, patients, ratio, 200, seed, method)
        for j, interval in enumerate(together):
            alone = bootstrap(statistics[:, j], patients, ratio, 200, seed, method)
            assert (interval.value, interval.low, interval.high) == pytest.approx(
                (alone.value, alone.low, alone.high), nan_ok=True
            )
            assert interval.n == alone.n


def test_a_figure_of_no_case_is_undefined():
    interval = bootstrap(np.zeros((0, 2)), np.zeros(0), lambda sums: sums[..., 0] / sums[..., 1])
    assert interval.n == 0 and np.isnan([interval.value, interval.low, interval.high]).all()
