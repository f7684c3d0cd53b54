import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.risk_coverage import area_of_counts, risk_coverage, risk_coverage_of_errors


def brute(order, risk):
    """Mean selective risk and mean generalised risk in one order."""
    sums = np.cumsum(np.asarray(risk, dtype=float)[list(order)])
    k = np.arange(1, len(sums) + 1)
    return np.mean(sums / k), np.mean(sums / len(sums))


def test_by_hand():
    # risks 0.6, 0.0, 0.3 from sure to unsure: selective risks 0.6, 0.3, 0.3
    found = risk_coverage([1, 2, 3], [0.6, 0.0, 0.3])
    assert found.aurc == pytest.approx(0.4)
    assert found.optimum == pytest.approx((0 + 0.15 + 0.3) / 3)
    assert found.excess == pytest.approx(0.4 - 0.15)
    assert found.augrc == pytest.approx((0.6 + 0.6 + 0.9) / 9)
    assert found.risk == pytest.approx(0.3)


@given(st.integers(0, 1000), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_ties_stand_for_every_order_of_them(seed, n):
    rng = np.random.default_rng(seed)
    uncertainty, risk = rng.integers(0, 3, n), rng.random(n)
    orders = [o for o in permutations(range(n)) if all(np.diff(uncertainty[list(o)]) >= 0)]
    aurc, augrc = np.mean([brute(o, risk) for o in orders], axis=0)
    found = risk_coverage(uncertainty, risk)
    assert (found.aurc, found.augrc) == (pytest.approx(aurc), pytest.approx(augrc))
    assert found.excess >= 0
    assert found.optimum == pytest.approx(brute(np.argsort(risk), risk)[0])
    assert risk_coverage(risk, risk).excess == pytest.approx(0, abs=1e-12)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_counts_of_errors_are_those_of_single_trials(seed):
    rng = np.random.default_rng(seed)
    bins, wrong = rng.integers(0, 8, 200), rng.random(200) < 0.2
    counts = [np.bincount(bins[w], minlength=8) for w in (~wrong, wrong)]
    one, other = risk_coverage_of_errors(*counts), risk_coverage(bins, wrong)
    for name in ("aurc", "optimum", "excess", "augrc", "risk"):
        assert getattr(one, name) == pytest.approx(getattr(other, name))


def test_a_score_that_tells_nothing_has_the_mean_risk():
    found = risk_coverage(np.zeros(50), np.arange(50) / 49)
    assert (found.aurc, found.risk) == (pytest.approx(0.5), pytest.approx(0.5))
    assert found.augrc == pytest.approx(0.5 * 51 / 100)


def test_a_billion_voxels_need_no_list_of_them():
    area = area_of_counts(np.array([9e8, 1e8]), np.array([0.0, 1e8]))
    # after coverage 0.9 the risk is (c - 0.9) / c: the integral is 0.1 + 0.9 log 0.9
    assert area == pytest.approx(0.1 + 0.9 * math.log(0.9), rel=1e-6)


def test_nothing_is_undefined_and_unknown_is_left_out():
    assert all(math.isnan(v) for v in vars(risk_coverage([], [])).values())
    assert risk_coverage([1, 2, math.nan], [0.1, 0.2, 0.9]) == risk_coverage([1, 2], [0.1, 0.2])
    assert risk_coverage([1, 2, 3], [0.1, 0.2, math.nan]) == risk_coverage([1, 2], [0.1, 0.2])
    double = risk_coverage([1, 2], [0.1, 0.3], [2, 1])
    assert double.aurc == pytest.approx(risk_coverage([1, 1, 2], [0.1, 0.1, 0.3]).aurc)
