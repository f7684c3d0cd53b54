import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.analysis.consensus import ConsensusCounts
from probseg.analysis.outliers import consensus_dice, find_outliers, modified_scores


def test_modified_scores_by_hand():
    # median 3, distances 2 1 0 1 7: MAD 1, so 10 has 0.6745 * 7
    assert modified_scores([1, 2, 3, 4, 10])[-1] == pytest.approx(0.6745 * 7)
    # MAD 0; the mean distance is 0.1, so the score is -0.5 / (1.253314 * 0.1)
    assert modified_scores([0.8, 0.8, 0.8, 0.8, 0.3])[-1] == pytest.approx(-0.5 / 0.1253314)
    assert np.isnan(modified_scores([1.0, math.nan, 2.0])).all()
    assert modified_scores([2.0, 2.0, 2.0]).tolist() == [0.0, 0.0, 0.0]


@given(st.lists(st.floats(-5, 5).map(lambda v: round(v, 3)), min_size=3, max_size=20), st.floats(0.5, 4))
def test_scores_do_not_depend_on_unit_and_origin(values, scale):
    x = np.array(values)
    np.testing.assert_allclose(modified_scores(scale * x + 3), modified_scores(x), atol=1e-6, rtol=1e-6)


def test_dice_is_the_mean_over_what_was_drawn():
    hits = np.zeros((2, 2, 3, 4), dtype=int)
    hits[0, 0] = [[2, 1, 1, 5], [0, 2, 0, 7], [0, 0, 0, 9]]  # 4/6, 0 and nothing drawn
    empty = np.zeros((2, 3))
    case = ConsensusCounts(("b", "c"), hits, hits, empty, empty)
    found = consensus_dice([case], ("a", "b", "c"))
    assert found[0, 1] == pytest.approx(1 / 3)
    assert np.isnan(found[0, [0, 2]]).all()


def made(rng, cases=30, raters=5):
    """Hard and easy cases, raters alike."""
    return np.clip(0.85 + 0.03 * rng.normal(size=(cases, 1)) + 0.02 * rng.normal(size=(cases, raters)), 0, 1)


NAMES = ("a", "b", "c", "d", "e")
CASES = [f"{k:02d}" for k in range(30)]


def test_each_kind_is_found_where_it_was_planted():
    dice = made(np.random.default_rng(0))
    assert find_outliers(CASES, NAMES, dice, stable=True) == ()
    bad = dice.copy()
    bad[:, 3] -= 0.3  # a rater
    bad[7] -= 0.4  # a case
    bad[11, 1] -= 0.5  # one reading
    found = find_outliers(CASES, NAMES, bad, stable=True)
    by_kind = {kind: [(o.case_id, o.rater) for o in found if o.kind == kind] for kind in ("rater", "case", "reading")}
    assert by_kind["rater"] == [("", "d")]
    assert by_kind["case"] == [("07", "")]
    assert by_kind["reading"] == [("11", "b")]  # and not d, whose every reading is as bad as d's others
    assert all(o.score < -3.5 for o in found)
    unstable = find_outliers(CASES, NAMES, bad, stable=False)
    assert [(o.kind, o.case_id, o.rater) for o in unstable][:2] == [("case", "07", ""), ("reading", "11", "b")]
    # Where a name is nobody, all of d's readings stand out on their own.
    assert {o.rater for o in unstable if o.kind == "reading"} == {"b", "d"}


def test_who_read_the_hard_cases_is_no_outlier():
    dice = made(np.random.default_rng(1))
    dice[:8] -= 0.4
    dice[8:, 4] = math.nan  # e read the eight hard ones only
    assert [o for o in find_outliers(CASES, NAMES, dice, stable=True) if o.kind == "rater"] == []


def test_specks_and_two_raters_make_no_outliers():
    rng = np.random.default_rng(2)
    alike = 0.9 + 1e-4 * rng.normal(size=(30, 5))
    alike[3] -= 0.01
    assert find_outliers(CASES, NAMES, alike, stable=True) == ()
    two = made(rng, raters=2)
    two[4, 0] = 0.1
    assert all(o.kind == "case" for o in find_outliers(CASES, NAMES[:2], two, stable=True))
