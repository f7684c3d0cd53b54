from __future__ import annotations

import numpy as np
import pytest

from probseg.evaluation.group import FigureName
from probseg.evaluation.volumes import PredictedVolumes, drawn_ml


def test_volumes_of_draws_against_those_of_raters(make_case, labels):
    masks = np.zeros((2, 1, 200), np.uint8)
    masks[0, 0, :100] = masks[1, 0, :120] = 1
    case = make_case(masks, masks, draws_ml=[[90.0], [110.0]])
    assert drawn_ml(case).tolist() == [[100.0], [120.0]]
    group = PredictedVolumes(labels)
    sums = group.statistics(case)[None]
    value = {name: f.over(sums, ["a"], 10, 0).value for name, f in group.figures.items()}
    assert value[FigureName("volume_crps", "nodule")] == pytest.approx(10)  # the check value
    assert value[FigureName("volume_error", "nodule")] == pytest.approx((100 - 110) / 110)
    assert value[FigureName("within_range", "nodule")] == 1.0
    assert value[FigureName("volume_error")] == value[FigureName("volume_error", "nodule")]  # the headline


def test_a_case_without_the_structure_adds_to_the_bias_and_has_no_error(make_case, labels):
    full, empty = np.ones((2, 1, 10), np.uint8), np.zeros((2, 1, 10), np.uint8)
    cases = [make_case(full, full, draws_ml=[[10.0], [10.0]]), make_case(empty, empty, draws_ml=[[5.0], [5.0]])]
    group = PredictedVolumes(labels)
    sums = np.stack([group.statistics(c) for c in cases])
    bias = group.figures[FigureName("volume_bias", "nodule")].over(sums, ["a", "b"], 10, 0)
    error = group.figures[FigureName("volume_error", "nodule")].over(sums, ["a", "b"], 10, 0)
    assert (bias.value, bias.n) == (0.5, 2)  # 5 of 10 mL too many
    assert (error.value, error.n) == (0.0, 1)
