"""All pairs of a case counted at once equal the pairs counted one by one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.analysis.overlap import dice, dice_matrix, iou, iou_matrix
from probseg.analysis.pair_counts import pair_counts

S = np.array([[1, 1, 0, 0], [0, 0, 0, 0]])
Y = np.array([[1, 1, 0, 0], [1, 1, 1, 0]])


def test_four_pixels():
    found = pair_counts(S, Y, 2)
    assert (found.num_readings, found.num_raters) == (2, 2)
    similar = found.similarities()
    np.testing.assert_allclose(similar.sy, [[1, 2 / 3], [0, 0]])
    np.testing.assert_allclose(similar.ss, [[1, 0], [0, 1]])  # both empty: 1
    np.testing.assert_allclose(similar.yy, [[1, 2 / 3], [2 / 3, 1]])
    np.testing.assert_allclose(found.similarities(dice).sy, [[1, 4 / 5], [0, 0]])


def test_a_class_absent_from_both_counts_what_it_is_told_to():
    # class 1: IoU 1/2; class 2 is in neither
    found = pair_counts(np.array([[1, 1, 0]]), np.array([[1, 0, 0]]), 3)
    assert found.similarities(iou, 1.0).sy.item() == pytest.approx(3 / 4)
    assert found.similarities(iou, 0.0).sy.item() == pytest.approx(1 / 4)
    assert found.similarities(iou, np.nan).sy.item() == pytest.approx(1 / 2)
    assert np.isnan(found.of_classes((2,)).similarities(iou, np.nan).sy).all()
    assert found.of_classes((1,)).similarities().sy.item() == pytest.approx(1 / 2)


def test_an_absent_rater_is_dropped_and_an_empty_one_is_not():
    masks = np.concatenate([Y, np.zeros((1, 4), int)])
    rated = np.array([[True] * 4, [True] * 4, [False] * 4])
    assert pair_counts(S, masks, 2, rated).num_raters == 2
    assert pair_counts(S, masks, 2).num_raters == 3
    assert pair_counts(S, np.full((1, 4), 7), 2).num_raters == 0


@given(
    st.integers(0, 1000), st.integers(0, 3), st.booleans(), st.sampled_from([np.uint8, np.int64]), st.integers(1, 99)
)
def test_equal_to_one_matrix_after_the_other(seed, n, partly, kind, block):
    rng = np.random.default_rng(seed)
    space = (3, 5, 4)
    readings = rng.integers(0, 3, (n, *space)).astype(kind)
    masks = rng.integers(0, 4, (4, *space)).astype(kind)  # 3 is no leaf
    rated = rng.random((4, *space)) < 0.5 if partly else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probseg.analysis.overlap._BLOCK", block)
        similar = pair_counts(readings, masks, 3, rated).similarities()
    np.testing.assert_array_equal(similar.sy, iou_matrix(readings, masks, 3, None, rated))
    np.testing.assert_array_equal(similar.ss, iou_matrix(readings, readings, 3))
    np.testing.assert_array_equal(similar.yy, iou_matrix(masks, masks, 3, rated, rated))
    dices = pair_counts(readings, masks, 3, rated).similarities(dice)
    np.testing.assert_array_equal(dices.sy, dice_matrix(readings, masks, 3, None, rated))


def test_memory_does_not_grow_with_the_image():
    """A hundred readings of a volume, which are views of one so that the test itself takes none."""
    rng = np.random.default_rng(0)
    peaks = []
    for slices in (32, 96):
        volume = (rng.random((slices, 128, 128)) < 0.3).astype(np.uint8)
        readings, masks = (np.broadcast_to(volume, (n, *volume.shape)) for n in (100, 4))
        rated = np.ones((4, 1, 1, 1), dtype=bool)
        tracemalloc.start()
        similar = pair_counts(readings, masks, 2, np.broadcast_to(rated, masks.shape)).similarities()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (similar.sy == 1).all()
    assert peaks[1] < 1.1 * peaks[0] + 5 * masks[0].size
