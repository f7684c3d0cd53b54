from dataclasses import replace

import numpy as np
import pytest

from probseg.analysis.bootstrap import Interval, bootstrap_mean
from probseg.analysis.ceiling import ANYBODY, Ceiling, ceiling_sentence, human_ceiling, verdict
from probseg.analysis.held_out import HeldOut
from probseg.errors import ProbsegError

NAMES = (("dice", "nodule"), ("surface_distance_95_mm", "nodule"), ("volume_log_ratio", "nodule"))


def held(raters, model):
    """One value a case and place, the same for every figure."""
    values = np.stack([np.asarray(raters, float), np.asarray(model, float)], axis=-1)[:, :, None]
    return HeldOut(NAMES, tuple("abcdef"[: values.shape[1]]), np.repeat(values, len(NAMES), axis=2))


def by_key(found):
    return {(c.figure, c.held_out): c for c in found}


def test_two_cases_by_hand():
    found = by_key(human_ceiling(held([[0.8, 0.6], [0.9, 0.7]], [[0.7, 0.7], [0.6, 0.6]]), ["p", "q"], stable=True))
    anybody = found["dice", ANYBODY]
    assert anybody.raters.value == pytest.approx(0.75)
    assert anybody.model.value == pytest.approx(0.65)
    assert anybody.difference.value == pytest.approx(-0.1)
    assert anybody.williams.value == pytest.approx(0.65 / 0.75)
    # a distance is better when it is less, so the raters' stands on top
    assert found["surface_distance_95_mm", ANYBODY].williams.value == pytest.approx(0.75 / 0.65)
    assert found["dice", "a"].difference.value == pytest.approx((-0.1 - 0.3) / 2)
    assert found["dice", "a"].williams is None
    assert found["volume_log_ratio", ANYBODY].verdict is None
    assert {c.held_out for c in human_ceiling(held([[0.8]], [[0.7]]), ["p"], stable=False)} == {ANYBODY}


def test_a_case_counts_where_both_are_defined():
    nan = np.nan
    found = by_key(human_ceiling(held([[0.8, nan], [0.9, 0.5]], [[0.7, 0.1], [nan, nan]]), ["p", "q"], stable=False))
    dice = found["dice", ANYBODY]
    assert (dice.raters.n, dice.raters.value, dice.model.value) == (1, pytest.approx(0.8), pytest.approx(0.7))
    nothing = held([[nan]], [[nan]])
    assert human_ceiling(nothing, ["p"], stable=True) == ()


def test_a_model_that_reads_as_raters_do_is_at_the_ceiling():
    rng = np.random.default_rng(0)
    covered, at_one, trials = 0, 0, 40
    for k in range(trials):
        case = 0.8 + 0.05 * rng.normal(size=(40, 1))
        values = held(case + 0.05 * rng.normal(size=(40, 3)), case + 0.05 * rng.normal(size=(40, 3)))
        dice = by_key(human_ceiling(values, np.arange(40), stable=False, samples=300, seed=k))["dice", ANYBODY]
        covered += dice.difference.low <= 0 <= dice.difference.high
        at_one += dice.williams.low <= 1 <= dice.williams.high
    # A bootstrap of forty patients covers 92.5 %, as 1,500 normal samples show: 37 of 40, less three standard errors.
    assert covered >= 32 and at_one >= 32


def test_the_difference_is_paired_and_over_patients():
    rng = np.random.default_rng(1)
    hard = rng.uniform(0.2, 0.9, size=(20, 1))
    values = held(hard + 0.01 * rng.normal(size=(20, 2)), hard - 0.05 + 0.01 * rng.normal(size=(20, 2)))
    dice = by_key(human_ceiling(values, np.repeat(np.arange(10), 2), stable=False))["dice", ANYBODY]
    # cases differ far more than the model from the raters, and the difference does not see it
    assert dice.difference.high - dice.difference.low < 0.02 < dice.raters.high - dice.raters.low
    apart = (values.values[..., 1] - values.values[..., 0])[:, :, 0].mean(axis=1)
    expected = bootstrap_mean(apart, np.repeat(np.arange(10), 2), method="bca")
    assert (dice.difference.low, dice.difference.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_verdicts():
    def of(low, high, better="higher"):
        return verdict(Interval(0.0, low, high, 9), better, 0.05)

    assert of(-0.04, 0.01) == "non-inferior"
    assert of(-0.06, 0.01) == "inconclusive"
    assert of(-0.09, -0.06) == "inferior"
    assert of(-0.01, 0.04, "lower") == "non-inferior"
    assert of(0.06, 0.09, "lower") == "inferior"
    assert of(float("nan"), float("nan")) is None
    assert of(-0.04, 0.01, "nought") is None
    for margins in ({"dyce": 0.05}, {"dice": 0.0}, {"volume_log_ratio": 0.1}):
        with pytest.raises(ProbsegError, match="E_ARGUMENT"):
            human_ceiling(held([[0.8]], [[0.7]]), ["p"], stable=False, margins=margins)


def test_the_answer_in_a_sentence():
    level = Interval(0.8, 0.78, 0.82, 9)
    row = Ceiling(
        "dice", "opacity", "", "higher", level, level, Interval(-0.02, -0.04, 0.0, 9), None, 0.05, "non-inferior"
    )
    start = "On opacity, the model differs from a reader by 0.02 Dice more than readers differ from each other"
    assert ceiling_sentence(row) == (f"{start}, 95 % interval 0.00 to 0.04; at a margin of 0.05 it is not inferior.")
    across = replace(row, difference=Interval(-0.02, -0.05, 0.01, 9), margin=None, verdict=None)
    assert ceiling_sentence(across) == f"{start}, 95 % interval 0.01 less to 0.05 more."
    better = replace(row, difference=Interval(0.03, -0.01, 0.06, 9), verdict="non-inferior")
    assert "by 0.03 Dice less than readers differ from each other, 95 % interval 0.01 more to 0.06 less" in (
        ceiling_sentence(better)
    )
    far = replace(
        row, figure="surface_distance_95_mm", better="lower", difference=Interval(1.2, 0.4, 2.0, 9), margin=None
    )
    assert "by 1.20 mm more than readers differ from each other, 95 % interval 0.40 to 2.00" in ceiling_sentence(far)
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        ceiling_sentence(replace(row, figure="iou"))
