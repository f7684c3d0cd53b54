import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.case_agreement import case_statistics
from probseg.analysis.case_files import from_plain, to_plain
from probseg.case import Case, Geometry
from probseg.labels import LabelClass, LabelGroup, LabelSet

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=9),),
    unknown=255,
)
MASKS = hnp.arrays(np.uint8, (4, 2, 3, 4), elements=st.integers(0, 4))


@settings(max_examples=20)
@given(MASKS, st.integers(0, 3), st.booleans(), st.sampled_from([None, (3.0, 0.7, 1.0 / 3.0)]))
def test_a_case_comes_back_to_the_last_digit(masks, raters, predicted, spacing):
    named = dict(zip("ABC", masks[:raters], strict=False))
    rated = {"B": masks[1] != 4}
    case = Case("c", "p", "s", np.zeros((0, 2, 3, 4)), named, Geometry((2, 3, 4), spacing), rated)
    found = case_statistics(case, LABELS, masks[3] if predicted else None)
    text = json.dumps(to_plain(found), allow_nan=False)
    back = from_plain(json.loads(text))
    assert json.dumps(to_plain(back), allow_nan=False) == text
    assert back.raters == found.raters
    assert back.parties == found.parties
    for name in ("labels", "voxels"):
        one, other = getattr(found.patterns, name), getattr(back.patterns, name)
        np.testing.assert_array_equal(one, other)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
    for name, value in vars(found.votes).items():
        np.testing.assert_array_equal(value, getattr(back.votes, name))
        assert value.dtype == getattr(back.votes, name).dtype
    for one, other in zip(found.pair_tables, back.pair_tables, strict=True):
        np.testing.assert_array_equal(one.region, other.region)


@pytest.mark.parametrize("data", [{}, {"patterns": [[], []]}, {"patterns": 1}])
def test_anything_else_is_refused(data):
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_plain(data)
