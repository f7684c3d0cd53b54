import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis import patterns
from probseg.analysis.patterns import drawn_patterns, looked_up, pattern_boxes, vote_patterns

MASKS = hnp.arrays(np.int16, (3, 4, 5), elements=st.integers(-1, 4))
RATED = hnp.arrays(bool, (3, 4, 5))


@settings(max_examples=50)
@given(MASKS, RATED, st.sampled_from([4, 1 << 16]))
def test_the_image_can_be_put_together_again(masks, rated, block):
    before, patterns._BLOCK = patterns._BLOCK, block  # Hypothesis runs many examples in one monkeypatch
    try:
        found = vote_patterns(masks, 3, rated)
    finally:
        patterns._BLOCK = before
    known = rated & (masks >= 0) & (masks < 3)
    np.testing.assert_array_equal(found.labels[:, found.which], np.where(known, masks, 3))
    np.testing.assert_array_equal(found.voxels, np.bincount(found.which.ravel()))
    assert len(np.unique(found.labels, axis=1).T) == len(found.voxels)


def test_many_raters_who_agree_on_nothing():
    """More combinations than could be counted one by one: 31 to the 20th."""
    masks = np.random.default_rng(0).integers(0, 30, (20, 500))
    found = vote_patterns(masks, 30)
    assert len(found.voxels) == 500
    np.testing.assert_array_equal(found.labels[:, found.which], masks)


def test_counting_and_renumbering_give_the_same():
    masks = np.random.default_rng(0).integers(0, 3, (3, 400))
    counted = patterns._counted(masks, 3, None)
    for one, other in zip(counted, patterns._renumbered(masks, 3, None), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(0, 4), (2, 0), (0, 0)])
def test_nobody_and_nothing(shape):
    found = vote_patterns(np.zeros(shape, int), 2)
    assert found.which.shape == shape[1:]
    assert found.voxels.sum() == shape[1]
    drawn = drawn_patterns(np.zeros(shape, np.uint8), 2)
    assert drawn.voxels.sum() == shape[1]
    assert drawn.which.size == 0


@settings(max_examples=60)
@given(hnp.arrays(np.uint8, (3, 4, 5), elements=st.sampled_from([0, 0, 0, 1, 2, 7])), RATED, st.booleans())
def test_looking_where_something_was_drawn_counts_the_whole_image(masks, rated, everywhere):
    rated = None if everywhere else rated
    whole, drawn = vote_patterns(masks, 3, rated), drawn_patterns(masks, 3, rated)
    np.testing.assert_array_equal(drawn.labels, whole.labels)
    np.testing.assert_array_equal(drawn.voxels, whole.voxels)
    np.testing.assert_array_equal(drawn.which, whole.which[drawn.box])
    outside = np.ones(masks.shape[1:], bool)
    outside[drawn.box] = False
    assert not masks[:, outside].any()


def test_the_box_of_each_combination():
    masks = np.array([[[0, 1, 1, 0], [0, 0, 1, 0]], [[0, 0, 0, 0], [2, 0, 0, 0]]], np.uint8)
    found = vote_patterns(masks, 3)
    boxes = pattern_boxes(found.which, len(found.voxels) + 1)
    assert found.labels.T.tolist() == [[0, 0], [0, 2], [1, 0]]
    assert boxes == [(slice(0, 2), slice(0, 4)), (slice(1, 2), slice(0, 1)), (slice(0, 2), slice(1, 3)), None]


@given(hnp.arrays(np.uint8, (7, 6), elements=st.integers(0, 4)), st.sampled_from([4, 1 << 16]))
def test_looking_up_is_indexing(which, block):
    before, patterns._BLOCK = patterns._BLOCK, block
    table = np.arange(10.0).reshape(2, 5)
    try:
        np.testing.assert_array_equal(looked_up(table, which), table[:, which])
        # a part cut out of an image
        np.testing.assert_array_equal(looked_up(table[0], which[1:5, 2:4]), table[0][which[1:5, 2:4]])
    finally:
        patterns._BLOCK = before
