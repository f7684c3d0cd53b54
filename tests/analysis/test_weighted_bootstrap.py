import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.bootstrap import bootstrap_mean
from probseg.analysis.weighted_bootstrap import bootstrap_weighted


@given(st.integers(0, 1000), st.integers(2, 12), st.sampled_from([30, 130, 200]))
@settings(max_examples=20, deadline=None)
def test_of_a_mean_it_is_the_bootstrap_of_sums(seed, n, samples):
    rng = np.random.default_rng(seed)
    values, patients = rng.normal(size=n), rng.integers(0, 5, n).astype(str)
    values[0] = math.nan
    known = ~np.isnan(values)

    def mean(weights):
        return weights[:, known] @ values[known] / weights.sum(axis=1)

    one, other = bootstrap_weighted(mean, patients, known, samples, 3), bootstrap_mean(values, patients, samples, 3)
    np.testing.assert_allclose([one.value, one.low, one.high], [other.value, other.low, other.high])
    assert one.n == other.n


def test_too_few_patients_and_undefined_samples():
    def first(weights):
        return np.where(weights[:, 0] > 0, 1.0, np.nan)

    alone = bootstrap_weighted(first, ["a", "a"])
    assert (alone.value, alone.n) == (1.0, 2) and math.isnan(alone.low)
    assert bootstrap_weighted(first, ["a", "b"]).low == 1.0  # samples without the first case say nothing
    assert bootstrap_weighted(first, ["a", "b"], np.zeros(2, bool)).n == 0
    assert math.isnan(bootstrap_weighted(lambda w: np.full(len(w), np.nan), ["a", "b"]).high)
