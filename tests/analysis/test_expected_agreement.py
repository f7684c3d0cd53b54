import math

import numpy as np
import pytest
from scipy import stats

from probseg.analysis.expected_agreement import expected_agreement


def test_equals_scipy_and_covers_the_line_it_was_made_of():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.4, 0.9, 80)
    y = 0.1 + 0.8 * x + 0.05 * rng.normal(size=80)
    found = expected_agreement([*x, math.nan], [*y, 0.5], np.arange(81), samples=300)
    line = stats.linregress(x, y)
    assert found.slope.value == pytest.approx(line.slope)
    assert found.intercept.value == pytest.approx(line.intercept)
    assert found.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.mae.value == pytest.approx(np.abs(x - y).mean())
    assert found.bias.value == pytest.approx((x - y).mean())
    assert found.slope.low < 0.8 < found.slope.high and found.intercept.low < 0.1 < found.intercept.high
    assert all(i.n == 80 for i in vars(found).values())


def test_a_perfect_forecast_and_one_that_says_the_same_of_all():
    exact = expected_agreement([0.5, 0.7, 0.8], [0.5, 0.7, 0.8], list("abc"), samples=20)
    assert (exact.slope.value, exact.mae.value) == (pytest.approx(1), 0)
    assert exact.intercept.value == pytest.approx(0)
    same = expected_agreement([0.6, 0.6, 0.6], [0.5, 0.7, 0.8], list("abc"), samples=20)
    assert math.isnan(same.slope.value) and math.isnan(same.spearman.value)
    assert expected_agreement([], [], []).mae.n == 0
