import math

import numpy as np
import pytest

from probseg.analysis.conformal import fit_conformal
from probseg.analysis.interval_coverage import coverage_band, interval_coverage


def test_by_hand():
    # a holds 1 of 2 and 2 of 2 volumes, so 3 of 4; b holds 1 of 1; each patient weighs the same
    ends = [[1, 3], [0, 9], [2, math.inf], [math.nan, 1]]
    found = interval_coverage(ends, [[2, 4], [1, 2], [5, math.nan], [0]], ["a", "a", "b", "c"], samples=50)
    assert (found.held.value, found.held.n, found.infinite) == (pytest.approx((3 / 4 + 1) / 2), 3, 1)
    assert found.width_ml == pytest.approx((2 + 9) / 2)
    assert interval_coverage(np.zeros((0, 2)), [], []).held.n == 0


def test_the_band_is_where_conformal_intervals_of_any_model_lie():
    rng, inside = np.random.default_rng(0), []
    band = coverage_band(0.9, 50, 80)
    for _ in range(200):
        volumes = np.exp(rng.normal(size=130))
        ends = np.repeat([[0.5, 1.0]], 130, axis=0)  # a model that always says the same
        people = [str(k) for k in range(130)]
        fitted = fit_conformal(ends[:50], volumes[:50, None], people[:50], 0.9)
        held = interval_coverage(fitted.widen(ends[50:]), volumes[50:, None], people[50:], samples=1).held.value
        inside.append(band[0] <= held <= band[1])
    assert np.mean(inside) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 200) + 0.02)
    assert coverage_band(0.95, 18, 10) == (1, 1)
