import math
from dataclasses import replace

import numpy as np
import pytest

from probseg.analysis.case_agreement import case_statistics
from probseg.analysis.repeats import repeatability, separate_repeats
from probseg.case import Case, Geometry
from probseg.labels import LabelSet

LABELS = LabelSet.binary("nodule")
REPEATS = {"anna-2": "anna", "bob-2": "bob"}


def case(name, sizes, spacing=(1.0, 1.0)):
    """A row of 100 voxels of 1 mL of which each rater drew the first so many."""
    masks = {r: (np.arange(100) < n).astype(np.uint8)[None] for r, n in sizes.items()}
    geometry = Geometry((1, 100), spacing, slice_thickness_mm=1000.0 if spacing else None)
    return Case(name, f"p{name}", "", np.zeros((1, 100), np.int16), masks, geometry)


def statistics(*cases):
    out = []
    for c in cases:
        once, several = separate_repeats(c, REPEATS)
        readings = tuple(case_statistics(r, LABELS) for r in several.values())
        out.append(replace(case_statistics(once, LABELS), repeats=readings))
    return out


def test_one_reading_a_person():
    once, several = separate_repeats(case("1", {"bob-2": 7, "anna": 10, "anna-2": 12, "carl": 9}), REPEATS)
    # bob's own reading is missing, so the repeat stands for it
    assert {r: int(m.sum()) for r, m in once.masks.items()} == {"bob": 7, "anna": 10, "carl": 9}
    assert list(once.masks) == ["bob", "anna", "carl"]
    assert {p: {r: int(m.sum()) for r, m in c.masks.items()} for p, c in several.items()} == {
        "anna": {"anna": 10, "anna-2": 12}
    }
    plain = case("2", {"anna": 3, "carl": 4})
    assert separate_repeats(plain, REPEATS) == (plain, {})


def test_what_a_repeat_looked_at_goes_with_it():
    looked = np.arange(100)[None] < 50
    first = replace(case("1", {"anna-2": 9, "anna": 8}), rated={"anna-2": looked})
    once, several = separate_repeats(first, REPEATS)
    assert once.rated == {}
    assert set(several["anna"].rated) == {"anna-2"}
    alone = replace(case("1", {"anna-2": 9, "carl": 9}), rated={"anna-2": looked})
    assert set(separate_repeats(alone, REPEATS)[0].rated) == {"anna"}


def test_coefficients_by_hand():
    # anna differs from herself by 2 and 4 mL: sqrt(mean d^2) = sqrt(10); from carl by 10 and 0: sqrt(50).
    found = repeatability(
        statistics(
            case("1", {"anna": 20, "anna-2": 22, "carl": 30}), case("2", {"anna": 40, "anna-2": 36, "carl": 40})
        ),
        LABELS,
    )
    assert [(f.rater, f.structure) for f in found] == [("anna", "nodule"), ("", "nodule")]
    anna, everyone = found
    assert anna.coefficient_ml.value == pytest.approx(1.96 * math.sqrt(10))
    assert anna.coefficient_between_ml.value == pytest.approx(1.96 * math.sqrt(50))
    # in percent of the mean: 2/21 and 4/38
    assert anna.coefficient_percent.value == pytest.approx(196 * math.sqrt(((2 / 21) ** 2 + (4 / 38) ** 2) / 2))
    assert anna.dice.value == pytest.approx((40 / 42 + 72 / 76) / 2)
    assert anna.dice_between.value == pytest.approx((40 / 50 + 1.0) / 2)
    assert anna.dice_difference.value == pytest.approx(anna.dice.value - anna.dice_between.value)
    assert replace(everyone, rater="anna") == anna  # nobody else repeated


def test_the_coefficient_holds_95_percent_of_the_differences():
    rng = np.random.default_rng(0)
    cases = []
    for k in range(60):
        true = rng.integers(30, 60)
        drawn = np.clip(np.round(true + 3 * rng.normal(size=2)), 1, 100)
        cases.append(case(f"{k}", {"anna": drawn[0], "anna-2": drawn[1], "carl": np.clip(true + 8, 1, 100)}))
    found = repeatability(statistics(*cases), LABELS)[0]
    # 1.96 sqrt(2) 3 = 8.3 mL
    assert found.coefficient_ml.low < 1.96 * math.sqrt(2) * 3 < found.coefficient_ml.high
    # carl draws 8 mL more: 1.96 sqrt(64 + 9)
    assert found.coefficient_between_ml.low < 1.96 * math.sqrt(73) < found.coefficient_between_ml.high
    assert found.coefficient_ml.n == 60


def test_nobody_repeated_and_nothing_known():
    assert repeatability(statistics(case("1", {"anna": 20, "carl": 30})), LABELS) == ()
    without = repeatability(statistics(case("1", {"anna": 20, "anna-2": 22, "carl": 30}, spacing=None)), LABELS)[0]
    assert math.isnan(without.coefficient_ml.value)
    assert without.coefficient_percent.value == pytest.approx(196 * 2 / 21)
    empty = repeatability(statistics(case("1", {"anna": 0, "anna-2": 0, "carl": 0})), LABELS)[0]
    assert math.isnan(empty.dice.value) and math.isnan(empty.coefficient_percent.value)
    assert empty.coefficient_ml.value == 0.0
