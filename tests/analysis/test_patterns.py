import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.patterns import vote_patterns

MASKS = hnp.arrays(np.int16, (3, 4, 5), elements=st.integers(-1, 4))
RATED = hnp.arrays(bool, (3, 4, 5))


@given(MASKS, RATED)
def test_the_image_can_be_put_together_again(masks, rated):
    found = vote_patterns(masks, 3, rated)
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


@pytest.mark.parametrize("shape", [(0, 4), (2, 0), (0, 0)])
def test_nobody_and_nothing(shape):
    found = vote_patterns(np.zeros(shape, int), 2)
    assert found.which.shape == shape[1:]
    assert found.voxels.sum() == shape[1]
