import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from probseg.analysis.rank_correlation import spearman, spearman_of_counts


@given(st.integers(0, 10_000), st.integers(3, 60), st.booleans())
@settings(max_examples=40, deadline=None)
def test_equals_scipy_of_values_of_weights_and_of_counts(seed, n, ties):
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 5, n) if ties else rng.normal(size=n) for _ in range(2))
    x[:2], y[:2] = [0, 1], [0, 1]
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    weights = rng.integers(0, 4, n)
    weights[:2] = 1
    repeated = stats.spearmanr(np.repeat(x, weights), np.repeat(y, weights)).statistic
    assert spearman(x, y, weights) == pytest.approx(repeated)
    if ties:
        counts = np.zeros((5, 5))
        np.add.at(counts, (x, y), 1)
        assert spearman_of_counts(counts) == pytest.approx(spearman(x, y))
        np.testing.assert_allclose(spearman_of_counts(np.stack([counts, 2 * counts])), spearman(x, y))


def test_undefined():
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3])) and math.isnan(spearman([], []))
    assert spearman([1, 2, math.nan], [2, 1, 5]) == pytest.approx(-1)
    assert np.isnan(spearman_of_counts(np.array([[3.0, 4.0]])))
