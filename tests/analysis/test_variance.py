import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.variance import (
    Variance,
    crossed_variance,
    needed_for_half,
    nested_variance,
    resampled_variance,
)


def table(rng, n, m, patients=1.0, raters=0.5, rest=0.8, missing=0.0):
    y = np.sqrt(patients) * rng.normal(size=(n, 1)) + np.sqrt(raters) * rng.normal(size=m)
    y = y + np.sqrt(rest) * rng.normal(size=(n, m))
    y[rng.random((n, m)) < missing] = np.nan
    return y


def test_two_by_two_by_hand():
    # rows 1 2, 3 8: sums of squares about 3.5 are 16, 9 and 4 for rows, columns and the rest; one degree each
    found = crossed_variance(np.array([[1.0, 2.0], [3.0, 8.0]]))
    assert found.rest == pytest.approx(4.0)
    assert found.patients == pytest.approx((16 - 4) / 2)
    assert found.raters == pytest.approx((9 - 4) / 2)
    assert (found.num_patients, found.num_raters, found.share_read) == (2, 2, 1.0)
    assert found.of_mean(2, 2) == pytest.approx(6 / 2 + 2.5 / 2 + 4 / 4)
    assert found.of_mean(2, 2, any_raters=False) == pytest.approx(6 / 2 + 4 / 4)
    assert found.of_one_against_others(10, 3) == pytest.approx(2.5 / 2 + 4 * 1.5 / 10)
    assert crossed_variance(np.array([[1.0, 2.0]])) is None
    assert crossed_variance(np.array([[1.0, np.nan], [2.0, np.nan]])) is None


@given(st.integers(0, 1000), st.integers(3, 12), st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_with_nothing_missing_it_is_the_analysis_of_variance(seed, n, m):
    y = table(np.random.default_rng(seed), n, m)
    rows, columns, mean = y.mean(axis=1), y.mean(axis=0), y.mean()
    ms_patients = m * ((rows - mean) ** 2).sum() / (n - 1)
    ms_raters = n * ((columns - mean) ** 2).sum() / (m - 1)
    ms_rest = ((y - rows[:, None] - columns + mean) ** 2).sum() / ((n - 1) * (m - 1))
    found = crossed_variance(y)
    assert found.rest == pytest.approx(ms_rest)
    assert found.patients == pytest.approx(max((ms_patients - ms_rest) / m, 0.0), abs=1e-12)
    assert found.raters == pytest.approx(max((ms_raters - ms_rest) / n, 0.0), abs=1e-12)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_components_come_out_right_on_average(missing):
    rng = np.random.default_rng(0)
    found = [crossed_variance(table(rng, 30, 8, missing=missing)) for _ in range(300)]
    for name, truth in (("patients", 1.0), ("raters", 0.5), ("rest", 0.8)):
        values = np.array([getattr(f, name) for f in found])
        # the clipping of negative estimates hardly shows here
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(300)


def test_the_variance_of_an_incomplete_design_is_that_of_its_mean():
    rng = np.random.default_rng(1)
    holes = rng.random((12, 5)) < 0.4
    holes[0] = False
    means, predicted = [], []
    for _ in range(2000):
        y = table(rng, 12, 5)
        y[holes] = np.nan
        means.append(np.nanmean(y))
        found = crossed_variance(y)
        predicted.append(found.of_mean(found.num_patients, found.num_raters))
    assert np.mean(predicted) == pytest.approx(np.var(means), rel=0.1)


def test_numbers_needed_by_hand():
    # now 4/10 + 2/5 + 10/50 = 1; a quarter: with 5 raters 2/5 stays, and no number of patients is enough
    now = Variance(4.0, 2.0, 10.0, 10, 5.0)
    assert needed_for_half(now).patients is None
    assert needed_for_half(now).raters is None  # 4/10 stays
    # with 40 patients 4/40 + 2/m + 10/(40 m) <= 1/4 has m = 15; fewest readings is 30 x 19 or better
    patients, raters = needed_for_half(now).fewest
    assert now.of_mean(patients, raters) <= 0.25
    assert now.of_mean(patients - 1, raters) > 0.25
    assert patients * raters <= 40 * 15
    # of these raters alone: 4/10 + 10/50 = 0.6, all of it over n: four times the patients
    assert needed_for_half(now, any_raters=False).patients == 40
    # one against others, patients known: 2/4 + 10 * 1.25 / 10; at most 1.75/4 = 0.4375, but 2/4 stays
    assert needed_for_half(now, "one against others").patients is None
    assert needed_for_half(now, "one against others", any_raters=False).patients == 40
    # rest: 10/10 stays with any number of raters
    assert needed_for_half(now, "one against others", any_raters=False).raters is None
    # raters alone: 8/4 + 1 * 1.25/100 = 2.0125; a quarter needs 8/(m-1) + (1 + 1/(m-1))/100 <= 0.503125: m - 1 = 17
    assert needed_for_half(Variance(4.0, 8.0, 1.0, 100, 5.0), "one against others").raters == 18
    assert needed_for_half(Variance(0.0, 0.0, 0.0, 10, 3.0)) == (None, None, None)


@given(st.floats(0, 5), st.floats(0, 5), st.floats(0.01, 5), st.integers(4, 50), st.integers(2, 8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_needed_is_enough_and_no_more(patients, raters, rest, n, m, any_raters):
    now = Variance(patients, raters, rest, n, float(m))
    needed, target = needed_for_half(now, any_raters=any_raters), now.of_mean(n, m, any_raters) / 4
    if needed.patients is not None:
        assert now.of_mean(needed.patients, m, any_raters) <= target * (1 + 1e-6)
        assert now.of_mean(needed.patients - 1, m, any_raters) > target * (1 - 1e-6)
    if needed.raters is not None:
        assert now.of_mean(n, needed.raters, any_raters) <= target * (1 + 1e-6)


def test_raters_of_ones_own():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(200):
        truth = rng.normal(size=25)
        readings = truth[:, None] + 2.0 * rng.normal(size=(25, 4))
        found.append(nested_variance(readings.mean(axis=1), readings.var(axis=1, ddof=1) / 4, np.full(25, 4.0)))
    assert np.mean([f.rest for f in found]) == pytest.approx(4.0, rel=0.05)
    assert np.mean([f.patients for f in found]) == pytest.approx(1.0, rel=0.15)
    assert nested_variance(np.array([1.0, 3.0]), np.full(2, 9.0), np.full(2, 3.0)).of_mean(2, 3) == pytest.approx(1.0)
    assert found[0].num_raters == pytest.approx(4.0) and not found[0].crossed
    assert found[0].of_mean(25, 8) == pytest.approx(found[0].patients / 25 + found[0].rest / 200)
    assert nested_variance(np.array([1.0]), np.array([0.5]), np.array([2.0])) is None
    assert nested_variance(np.array([1.0, 2.0]), np.full(2, np.nan), np.ones(2)) is None


def test_resampling_sees_the_same_variance():
    y = table(np.random.default_rng(3), 60, 12)
    found = crossed_variance(y)
    for n, m in ((60, 12), (240, 12), (60, 48)):
        by_components = found.of_mean(n, m)
        assert resampled_variance(y, n, m, 4000) == pytest.approx(by_components, rel=0.25)
    assert resampled_variance(y, 240, None, 4000) == pytest.approx(y.mean(axis=1).var() / 240, rel=0.1)


def test_the_recommended_number_halves_the_interval():
    """Pilots of 30 patients and 12 raters; the truth is known, so the interval that follows is known as well.

    The stated tolerance: half of the pilots lie between 0.40 and 0.60 of the interval, and their median within 0.05.
    """
    rng = np.random.default_rng(4)
    # where patients are many of a kind and raters few, raters are the lever, and the other way round
    for lever, truth in (("patients", (1.0, 0.02, 2.0)), ("raters", (0.01, 0.5, 2.0))):
        known, ratios = Variance(*truth, 30, 12.0), []
        for _ in range(60):
            needed = needed_for_half(crossed_variance(table(rng, 30, 12, *truth)))
            number = getattr(needed, lever)
            if number is not None:
                then = known.of_mean(number, 12) if lever == "patients" else known.of_mean(30, number)
                ratios.append(np.sqrt(then / known.of_mean(30, 12)))
        assert len(ratios) >= 50, lever
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        assert low > 0.40 and high < 0.60, lever
        assert middle == pytest.approx(0.5, abs=0.05), lever
