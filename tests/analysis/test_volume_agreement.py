import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from probseg.analysis.volume_agreement import bland_altman, icc
from probseg.errors import ProbsegError

# Shrout and Fleiss (1979), table 2: six targets, four judges.
SHROUT = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])

# Bland and Altman (1986): first readings of peak expiratory flow, l/min, by a large and by a mini Wright meter.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_published_example():
    once, absolute, consistent = (icc(SHROUT, kind) for kind in ("1,1", "2,1", "3,1"))
    assert once.value == pytest.approx(0.17, abs=5e-3)
    assert absolute.value == pytest.approx(0.29, abs=5e-3)
    assert consistent.value == pytest.approx(0.71, abs=6e-3)
    assert (absolute.n, absolute.raters, absolute.incomplete) == (6, 4, 0)
    # McGraw and Wong's intervals of the same table: [-.13, .72], [.02, .76] and [.34, .95]
    assert (once.low, once.high) == (pytest.approx(-0.13, abs=5e-3), pytest.approx(0.72, abs=5e-3))
    assert (absolute.low, absolute.high) == (pytest.approx(0.02, abs=5e-3), pytest.approx(0.76, abs=5e-3))
    assert (consistent.low, consistent.high) == (pytest.approx(0.34, abs=5e-3), pytest.approx(0.95, abs=5e-3))


@pytest.mark.oracle
@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(2, 5), st.floats(0.0, 2.0))
@settings(max_examples=12, deadline=None)
def test_equal_to_pingouin_with_missing_readings(seed, n, k, bias):
    pd, pingouin = pytest.importorskip("pandas"), pytest.importorskip("pingouin")
    rng = np.random.default_rng(seed)
    table = 50 + 10 * rng.normal(size=(n, 1)) + 5 * bias * rng.normal(size=k) + 4 * rng.normal(size=(n, k))
    gaps = rng.integers(0, n - 2)
    table[rng.choice(n, gaps, replace=False), rng.integers(k, size=gaps)] = np.nan
    rows = [(i, j, table[i, j]) for i in range(n) for j in range(k)]
    frame = pd.DataFrame(rows, columns=["case", "rater", "volume"])
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how pingouin calls pandas
        patch.setitem(pingouin.options, "round.column.CI95", None)
        expected = pingouin.intraclass_corr(frame, "case", "rater", "volume", nan_policy="omit").set_index("Type")
    for kind, name in (("1,1", "ICC(1,1)"), ("2,1", "ICC(A,1)"), ("3,1", "ICC(C,1)")):
        found = icc(table, kind)
        assert found.value == pytest.approx(expected.at[name, "ICC"], abs=1e-9)
        assert [found.low, found.high] == pytest.approx(list(expected.at[name, "CI95"]), abs=1e-6)
        assert (found.n, found.incomplete) == (n - gaps, gaps)


def test_a_constant_bias_counts_for_agreement_and_not_for_consistency():
    truth = np.random.default_rng(0).normal(size=50)
    table = np.stack([truth, truth + 2.0], axis=1)
    assert icc(table, "3,1").value == pytest.approx(1.0)
    assert icc(table).value < 0.6


def test_without_identities_a_shuffle_within_cases_changes_nothing():
    rng = np.random.default_rng(4)
    table = rng.normal(size=(20, 1)) + rng.normal(size=(20, 3))
    assert icc(rng.permuted(table, axis=1), "1,1") == pytest.approx(icc(table, "1,1"))


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(1)
    hits, trials = np.zeros(2), 400
    for _ in range(trials):
        # variances 4 between cases, 1 between raters, 1 left: ICC(2,1) = 4/6; without raters 4/5
        cases, raters, rest = 2 * rng.normal(size=(30, 1)), rng.normal(size=5), rng.normal(size=(30, 5))
        for j, (table, kind, truth) in enumerate(
            ((cases + raters + rest, "2,1", 4 / 6), (cases + raters + rest, "3,1", 4 / 5))
        ):
            found = icc(table, kind)
            hits[j] += found.low <= truth <= found.high
    assert (np.abs(hits / trials - 0.95) < 0.04).all()


def test_gaps_and_what_is_undefined():
    table = np.vstack([SHROUT, [1.0, np.nan, 2.0, 3.0]])
    assert icc(table) == icc(SHROUT)._replace(incomplete=1)
    for nothing in (SHROUT[:1], SHROUT[:, :1], np.full((4, 3), 7.3), np.zeros((4, 3))):
        assert math.isnan(icc(nothing).value)
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        icc(SHROUT, "2,k")  # type: ignore[arg-type]


def test_perfect_agreement_has_no_width():
    table = np.repeat([[1.0], [2.0], [5.0]], 3, axis=1)
    for kind in ("1,1", "2,1", "3,1"):
        assert icc(table, kind)[:3] == (pytest.approx(1.0),) * 3


def test_bland_altman_by_hand():
    # differences 1, 3, 2 and a gap: mean 2, SD 1
    found = bland_altman([2, 5, 4, math.nan], [1, 2, 2, 7])
    assert found[:4] == (pytest.approx(2.0), pytest.approx(0.04), pytest.approx(3.96), 3)
    assert found.incomplete == 1
    # t(0.975, 2) = 4.3027, SD / sqrt(3) = 0.57735
    assert found.bias_interval == (pytest.approx(2 - 2.48414, abs=1e-4), pytest.approx(2 + 2.48414, abs=1e-4))
    # means 1.5, 3.5, 3: centred -7/6, 5/6, 1/3; products with the differences -1, 1, 0 sum to 2, squares to 13/6
    assert found.slope == pytest.approx(12 / 13)
    one = bland_altman([2], [1])
    assert one.bias == 1.0
    assert math.isnan(one.low) and math.isnan(one.bias_interval[0])
    assert math.isnan(bland_altman([], []).bias)
    assert math.isnan(bland_altman([3, 1], [1, 3]).slope)  # the mean is 2 in both


def test_a_constant_difference_is_not_proportional():
    a = np.array([0.1, 0.4, 0.9, 1.3])
    found = bland_altman(a + 0.3, a)
    assert found.slope == 0.0
    assert found.slope_interval[0] <= 0.0 <= found.slope_interval[1]


def test_bland_and_altman_1986():
    """Mean difference -2.1 l/min, SD 38.8, bias from -22.0 to 17.8, limits -79.7 and 75.5 (with 2 SD)."""
    found = bland_altman(WRIGHT, MINI)
    assert found.bias == pytest.approx(-2.1, abs=0.05)
    assert (found.high - found.low) / 3.92 == pytest.approx(38.8, abs=0.05)
    assert found.bias_interval == (pytest.approx(-22.0, abs=0.1), pytest.approx(17.8, abs=0.1))
    # The paper's approximate interval of the lower limit is -114.3 to -45.1; the exact one leans outwards.
    low, high = found.low_interval
    assert -125 < low < -114.3
    assert -58 < high < -45.1


def test_intervals_of_the_limits_cover_as_often_as_they_say():
    rng, hits, trials = np.random.default_rng(3), np.zeros(3), 1000
    for _ in range(trials):
        found = bland_altman(1.0 + rng.normal(size=8), np.zeros(8))
        ends = ((found.bias_interval, 1.0), (found.low_interval, 1 - 1.96), (found.high_interval, 1 + 1.96))
        hits += [low <= truth <= high for (low, high), truth in ends]
    assert (np.abs(hits / trials - 0.95) < 0.025).all()  # three and a half standard errors


def test_many_cases_meet_the_approximation_of_1999():
    difference = np.random.default_rng(5).normal(size=2000)
    found = bland_altman(difference, np.zeros(2000))
    error = difference.std(ddof=1) * math.sqrt(1 / 2000 + 1.96**2 / (2 * 1999))
    assert (found.high_interval[1] - found.high_interval[0]) / 2 == pytest.approx(1.96 * error, rel=5e-3)


@pytest.mark.oracle
@given(st.integers(0, 1000), st.integers(3, 30))
@settings(max_examples=20, deadline=None)
def test_proportional_bias_equals_linregress(seed, n):
    rng = np.random.default_rng(seed)
    a = rng.gamma(2.0, 20.0, size=n)
    b = 0.8 * a + rng.normal(size=n)
    found, expected = bland_altman(a, b), stats.linregress((a + b) / 2, a - b)
    assert found.slope == pytest.approx(expected.slope)
    reach = stats.t.ppf(0.975, n - 2) * expected.stderr
    assert found.slope_interval == (pytest.approx(expected.slope - reach), pytest.approx(expected.slope + reach))


@given(st.integers(0, 1000))
def test_changing_places_changes_the_sign(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 9))
    one, other = bland_altman(a, b), bland_altman(b, a)
    assert one.bias == pytest.approx(-other.bias)
    assert one.low_interval == pytest.approx(tuple(-v for v in other.high_interval[::-1]))
    assert one.slope == pytest.approx(-other.slope)
