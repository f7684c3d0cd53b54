"""Paired comparison of models: hand-worked, against SciPy, and in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probseg.analysis.paired import holm, paired_difference, sign_flip_p_value
from probseg.errors import ProbsegError


def test_three_patients_by_hand():
    # of the 8 exchanges only +++ and --- are as far from 0
    assert sign_flip_p_value([1.0, 2.0, 3.0], ["a", "b", "c"]) == 2 / 8
    # two cases of one patient are exchanged together
    assert sign_flip_p_value([1.0, 2.0, 3.0], ["a", "a", "b"]) == 2 / 4


def test_the_exchange_is_that_of_scipy():
    gap = np.random.default_rng(0).normal(0.3, 1, size=12)
    expected = stats.permutation_test(
        (gap, np.zeros(12)), lambda a, b, axis: (a - b).mean(axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p_value(gap, np.arange(12).astype(str)) == pytest.approx(expected.pvalue, abs=1e-12)


def test_many_patients_are_sampled_and_never_give_0():
    gap = np.full(40, 1.0)
    assert sign_flip_p_value(gap, np.arange(40)) == 1 / 10_000
    even = np.tile([1.0, -1.0], 20)
    assert sign_flip_p_value(even, np.arange(40)) == 1.0


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, math.nan]), [0.03, 0.06, 0.06, math.nan])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.randoms())
def test_holm_lies_between_no_correction_and_bonferroni(p, random):
    found = holm(p)
    assert (found >= np.array(p) - 1e-15).all()
    assert (found <= np.minimum(np.array(p) * len(p), 1) + 1e-12).all()
    order = list(range(len(p)))
    random.shuffle(order)
    np.testing.assert_allclose(holm([p[k] for k in order]), found[order])


def test_a_difference_and_what_is_left_out():
    a, b = [0.9, 0.8, math.nan, 0.7], [0.8, 0.6, 0.5, 0.7]
    found = paired_difference(a, b, ["p", "q", "r", "s"])
    assert found.interval.value == pytest.approx(0.1)
    assert (found.interval.n, found.patients, found.seeds) == (3, 3, (1, 1))
    swapped = paired_difference(b, a, ["p", "q", "r", "s"])
    assert swapped.interval.value == -found.interval.value
    assert swapped.p_value == found.p_value
    nothing = paired_difference([math.nan], [1.0], ["p"])
    assert math.isnan(nothing.interval.value) and nothing.interval.n == 0
    with pytest.raises(ProbsegError, match="E_SHAPE_MISMATCH"):
        paired_difference([1.0], [1.0, 2.0], ["p"])


def test_equal_models_are_told_apart_as_often_as_promised():
    """200 pairs of models without a difference: p below 5 % in 5 % of them, seeds or not."""
    rng = np.random.default_rng(1)
    alone, trained = 0, 0
    for _ in range(200):
        case = rng.normal(size=30)
        a, b = (case + rng.normal(size=30) for _ in range(2))
        alone += paired_difference(a, b, np.arange(30), samples=50).p_value < 0.05
        runs = [case + rng.normal(0, 0.5, size=(3, 1)) + rng.normal(0, 0.3, size=(3, 30)) for _ in range(2)]
        trained += paired_difference(*runs, np.arange(30), samples=50).p_value < 0.05
    low, high = stats.binom.ppf([0.001, 0.999], 200, 0.05)
    assert low <= alone <= high
    assert low <= trained <= high


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(2)
    case = rng.normal(size=(1, 50))
    a, b = case + 0.1 + rng.normal(0, 0.05, (4, 50)), case + rng.normal(0, 0.05, (4, 50))
    alike = paired_difference(a, b, np.arange(50))
    shifts = np.array([[-0.3], [-0.1], [0.1], [0.3]])
    apart = paired_difference(a + shifts, b + shifts, np.arange(50))
    assert alike.interval.value == pytest.approx(apart.interval.value)
    assert apart.interval.high - apart.interval.low > 5 * (alike.interval.high - alike.interval.low)
    assert alike.p_value < 0.001 and apart.p_value > 0.2
