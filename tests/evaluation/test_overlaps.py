from __future__ import annotations

import numpy as np
import pytest

from probseg.evaluation.group import FigureName
from probseg.evaluation.overlaps import ModeOverlaps


def test_the_mode_against_each_rater(make_case, labels):
    group = ModeOverlaps(labels)
    case = make_case([[[1, 1, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 0, 0]]], [[[1, 1, 0, 0]]])
    sums = group.statistics(case)[None]
    value = {name: f.over(sums, ["a"], 10, 0).value for name, f in group.figures.items()}
    assert value[FigureName("dice")] == pytest.approx((1 + 2 / 3 + 0) / 3)  # one empty: 0
    assert value[FigureName("iou")] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert value[FigureName("dice", "nodule")] == value[FigureName("dice")]


def test_both_empty_does_not_count(make_case, labels):
    group = ModeOverlaps(labels)
    empty, full = np.zeros((1, 1, 4)), np.ones((1, 1, 4))
    sums = np.stack([group.statistics(make_case(empty, empty)), group.statistics(make_case(full, full))])
    found = group.figures[FigureName("dice")].over(sums, ["a", "b"], 10, 0)
    assert (found.value, found.n) == (1.0, 1)
