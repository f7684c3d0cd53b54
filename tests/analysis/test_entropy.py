import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.entropy import complete_agreement, rater_entropy, union_of_foreground, votes

MASKS = hnp.arrays(np.uint8, (4, 3, 4), elements=st.integers(0, 2))
RATED = hnp.arrays(bool, (4, 3, 4))


def test_by_hand():
    masks = np.array([[1, 1, 0, 2], [1, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
    # votes: all 1; half and half; all background; 2, 1, 0, 0
    thirds = 0.5 * math.log(2) + 2 * 0.25 * math.log(4)
    np.testing.assert_allclose(rater_entropy(masks, 3), [0, math.log(2), 0, thirds], atol=1e-12)
    # the union of foreground leaves out the third; of the rest one voxel is agreed on
    assert complete_agreement(masks, 3) == pytest.approx(1 / 3)


def test_one_voice_cannot_disagree():
    masks = np.array([[1, 1], [0, 1]])
    rated = np.array([[True, True], [False, True]])
    assert math.isnan(rater_entropy(masks, 2, rated)[0])
    assert complete_agreement(masks, 2, rated) == 1.0
    assert math.isnan(complete_agreement(masks[:1], 2))
    assert math.isnan(complete_agreement(np.zeros((3, 2), int), 2))


def test_a_label_that_names_no_one_class_is_no_vote():
    masks = np.array([[1, 1], [1, 1], [7, 0]])
    assert votes(masks, 2).tolist() == [[0, 1], [2, 2]]
    assert complete_agreement(masks, 2) == pytest.approx(1 / 2)


@given(MASKS, RATED, st.permutations(range(4)))
def test_raters_may_come_in_any_order(masks, rated, order):
    entropy = rater_entropy(masks, 3, rated)
    np.testing.assert_allclose(entropy, rater_entropy(masks[order], 3, rated[order]))
    assert np.nanmax(entropy, initial=0.0) <= math.log(3) + 1e-12
    assert complete_agreement(masks, 3, rated) == pytest.approx(
        complete_agreement(masks[order], 3, rated[order]), nan_ok=True
    )


@given(MASKS, RATED)
def test_complete_agreement_is_no_entropy(masks, rated):
    region = union_of_foreground(votes(masks, 3, rated))
    share = complete_agreement(masks, 3, rated)
    if region.any():
        assert share == pytest.approx((rater_entropy(masks, 3, rated)[region] < 1e-9).mean())
    else:
        assert math.isnan(share)
