from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from probseg.evaluation.distances import ReadingDistances

Y, S = [[[1, 1, 0, 0]], [[1, 1, 1, 0]]], [[[1, 1, 0, 0]], [[0, 0, 0, 0]]]


def figures(group, *cases):
    sums = np.stack([group.statistics(c) for c in cases])
    return {name.metric: f.over(sums, [c.case_id for c in cases], 10, 0).value for name, f in group.figures.items()}


def test_the_check_values(make_case, labels):
    found = figures(ReadingDistances(labels), make_case(Y, S))
    # E d(S,Y) = 7/12, d(S,S') = 1, d(Y,Y') = 1/3
    assert found == pytest.approx(
        {"ged_v": 1 / 2, "ged_u": -1 / 6, "ged_floor": 1 / 3, "hm_iou": 1 / 2, "diversity": 1, "rater_diversity": 1 / 3}
        # the first reading is the best of both raters, with Dice 1 and 4/5; matched one to one, 1 and 0
        | {"d_max": 0.9, "d_match": 0.5}
    )


def test_a_model_of_one_draw_is_a_point_and_one_without_readings_has_no_distance(make_case, labels):
    point = figures(ReadingDistances(labels), make_case(Y, S[:1]))
    assert point["diversity"] == 0.0
    assert point["ged_u"] == pytest.approx(2 * (0 + 1 / 3) / 2 - 0 - 1 / 3)
    none = figures(ReadingDistances(labels), make_case(Y, np.zeros((0, 1, 4)), num_draws=4, draws_ml=np.ones((4, 1))))
    assert none.pop("rater_diversity") == pytest.approx(1 / 3)
    assert all(np.isnan(v) for v in none.values())


masks = arrays.arrays(np.uint8, (4, 2, 3), elements=st.integers(0, 1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixtures keep no state
@given(y=masks, s=masks, order=st.permutations(range(4)))
def test_the_order_is_irrelevant_and_who_rated_nothing_is_absent(make_case, labels, y, s, order):
    group = ReadingDistances(labels)
    expected = figures(group, make_case(y, s))
    assert figures(group, make_case(y[order], s[order[::-1]])) == pytest.approx(expected, nan_ok=True)
    rated = np.ones((5, 2, 3), bool)
    rated[4] = False
    with_absent = make_case(np.concatenate([y, 1 - y[:1]]), s, rated)
    assert figures(group, with_absent) == pytest.approx(expected, nan_ok=True)
