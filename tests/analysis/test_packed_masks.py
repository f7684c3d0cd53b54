"""Masks as bits: the counts are those of the voxels, however many there are and whatever they look like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.analysis import packed_masks
from probseg.analysis.packed_masks import common, pack_equal, sizes


def test_two_small_masks():
    labels = np.array([[1, 1, 0, 0], [1, 2, 1, 0]])
    ones = pack_equal(labels, 1)
    assert sizes(ones).tolist() == [2, 2]
    assert common(ones, ones).tolist() == [[2, 1], [1, 2]]
    assert common(ones, pack_equal(labels, 2)).tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize("voxels", [0, 1, 63, 64, 65, 1000])
def test_no_voxel_is_lost_or_added_at_the_end_of_a_word(voxels):
    everything = pack_equal(np.ones((2, voxels), np.uint8), 1)
    assert sizes(everything).tolist() == [voxels, voxels]
    assert common(everything, everything).tolist() == [[voxels, voxels]] * 2


@given(
    st.integers(0, 1000), st.integers(1, 5), st.integers(1, 400), st.sampled_from([0.02, 0.5, 0.98]), st.integers(1, 9)
)
def test_counts_are_those_of_the_voxels(seed, n, voxels, share, tile):
    """Nearly empty, mixed and nearly full masks, in tiles of any size: words that are alike for all are not lost."""
    rng = np.random.default_rng(seed)
    blocks = np.repeat(rng.random((n + 2, -(-voxels // 50))) < share, 50, axis=1)[:, :voxels]
    masks = (blocks ^ (rng.random(blocks.shape) < 0.02)).astype(np.int64)
    a, b = masks[:n], masks[n:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_masks, "_TILE", tile)
        patch.setattr(packed_masks, "_WORDS", 3)
        patch.setattr(packed_masks, "_COMPARED", 1)
        np.testing.assert_array_equal(common(pack_equal(a, 1), pack_equal(b, 1)), a @ b.T)
        packed = pack_equal(masks, 1)
        np.testing.assert_array_equal(common(packed, packed), masks @ masks.T)
        np.testing.assert_array_equal(sizes(packed), masks.sum(axis=1))
