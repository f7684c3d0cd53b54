from __future__ import annotations

import numpy as np
import pytest

from probseg.case import Case, Geometry
from probseg.errors import ProbsegError
from probseg.evaluation.case import EvaluatedCase


def test_who_rated_nothing_is_absent_and_another_size_is_refused(make_case, labels):
    prediction = make_case(np.ones((1, 2, 3)), np.ones((1, 2, 3))).prediction
    masks = {name: np.ones((2, 3), np.uint8) for name in ("anna", "ben")}
    rated = {"ben": np.zeros((2, 3), bool)}
    case = Case("a", "p", "", np.zeros((2, 3)), masks, Geometry((2, 3), None), rated)
    assert EvaluatedCase.of(case, prediction, labels).raters == ("anna",)
    larger = Case("a", "p", "", np.zeros((2, 4)), {}, Geometry((2, 4), None))
    with pytest.raises(ProbsegError, match="E_SHAPE_MISMATCH"):
        EvaluatedCase.of(larger, prediction, labels)
