import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.analysis.bootstrap import bootstrap, bootstrap_mean, patient_weights, ratio


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


def test_a_thousand_samples_of_a_thousand_cases_take_no_time():
    statistics, patients = np.random.default_rng(0).random((1000, 45)), np.arange(1000)
    start = time.perf_counter()
    bootstrap(statistics, patients, lambda sums: sums[..., 0] / sums[..., 1])
    assert time.perf_counter() - start < 1.0
