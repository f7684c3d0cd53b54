import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.errors import ProbsegError
from probseg.fusion import UNRATED, average, majority, staple_labels

MASKS = hnp.arrays(np.uint8, (4, 2, 3), elements=st.integers(0, 3))
RATED = hnp.arrays(bool, (4, 2, 3))


def test_majority_by_hand():
    masks = np.array([[0, 1, 2, 2], [0, 1, 1, 2], [1, 1, 0, 0]])
    labels, ties = majority(masks, None, 3)
    # 2 to 1; unanimous; one each: a tie, the lowest; 2 to 1
    assert labels.tolist() == [0, 1, 0, 2]
    assert ties == 1
    np.testing.assert_allclose(average(masks, None, 3)[:, 0], [2 / 3, 1 / 3, 0])


def test_who_did_not_look_has_no_vote():
    masks = np.array([[1, 1, 1], [0, 0, 5]])
    rated = np.array([[False, True, False], [True, True, True]])
    labels, ties = majority(masks, rated, 2)
    # the second is a tie; nobody voted on the third, for 5 is no class
    assert labels.tolist() == [0, 0, UNRATED]
    assert ties == 1
    np.testing.assert_array_equal(average(masks, rated, 2), [[1, 0.5, 0], [0, 0.5, 0]])


@given(MASKS, RATED, st.permutations(range(4)))
def test_raters_may_come_in_any_order(masks, rated, order):
    first, second = majority(masks, rated, 3), majority(masks[order], rated[order], 3)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    np.testing.assert_array_equal(average(masks, rated, 3), average(masks[order], rated[order], 3))


@given(MASKS, RATED)
def test_shares_sum_to_one_and_the_majority_has_the_largest(masks, rated):
    share, (labels, _) = average(masks, rated, 3), majority(masks, rated, 3)
    total = share.sum(axis=0)
    np.testing.assert_allclose(total[labels != UNRATED], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(total[labels == UNRATED], 0.0)
    voted = labels != UNRATED
    np.testing.assert_array_equal(np.argmax(share, axis=0)[voted], labels[voted])


@given(MASKS, RATED)
def test_a_missing_rater_is_a_dropped_one(masks, rated):
    rated[1] = False
    kept = [0, 2, 3]
    np.testing.assert_array_equal(majority(masks, rated, 3)[0], majority(masks[kept], rated[kept], 3)[0])
    np.testing.assert_array_equal(average(masks, rated, 3), average(masks[kept], rated[kept], 3))


def test_more_classes_than_fit():
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        majority(np.zeros((1, 2), int), None, 256)


def test_staple_trusts_the_better_rater():
    # Two agree on a voxel that the third leaves out, and elsewhere the third stands alone: by hand the majority, since
    # equal raters give it; where nobody looked there is nothing, and a group (5) is no vote.
    masks = np.array([[0, 1, 1, 0, 5, 1], [0, 1, 1, 0, 5, 1], [0, 0, 0, 1, 5, 1]])
    rated = np.ones_like(masks, dtype=bool)
    rated[:, 5] = False
    assert staple_labels(masks, rated, 2).tolist() == [0, 1, 1, 0, UNRATED, UNRATED]


def test_staple_overrules_a_careless_majority():
    # Raters 0 and 1 are right; the other three each call a third of the background foreground, voxel by voxel. STAPLE
    # finds out, and follows the two where the three agree against them; the vote follows the three.
    generator = np.random.default_rng(0)
    truth = (np.arange(3000) % 3 == 0).astype(np.uint8)
    careless = [np.where(generator.random(3000) < 0.33, 1, truth) for _ in range(3)]
    masks = np.stack([truth, truth, *careless])
    assert (majority(masks, None, 2)[0] != truth).sum() > 50
    assert (staple_labels(masks, None, 2) == truth).all()


@settings(max_examples=40)
@given(MASKS, RATED)
def test_staple_has_a_class_exactly_where_somebody_gave_one(masks, rated):
    labels = staple_labels(masks, rated, 3)
    voted = ((masks < 3) & rated).any(axis=0)
    np.testing.assert_array_equal(labels != UNRATED, voted)
    for c in range(3):  # never a class that nobody gave anywhere
        if not ((masks == c) & rated).any():
            assert not (labels == c).any()
