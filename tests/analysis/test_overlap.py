import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.overlap import (
    dice,
    iou,
    iou_matrix,
    joint_histogram,
    overlap_counts,
    pairwise_dice,
    structure_counts,
)
from probseg.labels import LabelClass, LabelGroup, LabelSet

MAPS = hnp.arrays(np.uint8, (4, 3, 5), elements=st.integers(0, 3))


def test_iou_and_dice_of_four_pixels():
    a, b = np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]])
    # both 2, 0, 2; union 3, 2, 2; sizes 2+3, 2+0, 2+2
    np.testing.assert_allclose(iou_matrix(a, b, 2), [[2 / 3, 0.0, 1.0]])
    np.testing.assert_allclose(dice(overlap_counts(a, b, 2))[0, :, 1], [4 / 5, 0.0, 1.0])


def test_a_class_absent_from_both_counts_one_in_the_distance_and_nan_in_tables():
    a, b = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 0]])
    # class 1: 1/2; class 2 absent from both: 1; mean 3/4
    np.testing.assert_allclose(iou_matrix(a, b, 3), [[0.75]])
    table = pairwise_dice(np.concatenate([a, b]), 3)
    assert table.shape == (2, 2, 3)
    assert np.isnan(table[..., 2]).all()
    np.testing.assert_allclose(table[0, 1, :2], [4 / 5, 2 / 3])
    np.testing.assert_allclose(iou_matrix(np.zeros((1, 4), int), np.zeros((1, 4), int), 3), [[1.0]])


def test_pixels_that_either_did_not_rate_are_left_out():
    a, b = np.array([[1, 1, 0, 1]]), np.array([[1, 0, 0, 1]])
    rated = np.array([[True, False, True, True]])
    np.testing.assert_allclose(iou_matrix(a, b, 2), [[2 / 3]])
    np.testing.assert_allclose(iou_matrix(a, b, 2, rated_b=rated), [[1.0]])
    np.testing.assert_allclose(iou_matrix(a, b, 2, rated_a=rated), [[1.0]])
    # A label beyond the classes (a group, unknown) is as good as not rated.
    np.testing.assert_allclose(iou_matrix(np.array([[1, 2, 0, 1]]), b, 2), [[1.0]])


def test_counts_are_added_over_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (2, 50)), rng.integers(0, 3, (3, 50))
    whole = overlap_counts(a, b, 3)
    monkeypatch.setattr("probseg.analysis.overlap._BLOCK", 7)
    for x, y in zip(whole, overlap_counts(a, b, 3), strict=True):
        np.testing.assert_array_equal(x, y)


@given(MAPS, MAPS)
def test_matrix_equals_the_definition_pair_by_pair(a, b):
    def definition(x, y):
        scores = []
        for c in range(1, 4):
            union = np.count_nonzero((x == c) | (y == c))
            scores.append(np.count_nonzero((x == c) & (y == c)) / union if union else 1.0)
        return np.mean(scores)

    expected = [[definition(x, y) for y in b] for x in a]
    np.testing.assert_allclose(iou_matrix(a, b, 4), expected)


@given(MAPS)
def test_dice_is_symmetric_and_one_with_itself(masks):
    table = pairwise_dice(masks, 4)
    np.testing.assert_array_equal(table, table.transpose(1, 0, 2))
    own = np.diagonal(table, axis1=0, axis2=1)
    np.testing.assert_array_equal(own[~np.isnan(own)], 1.0)


@given(MAPS, hnp.arrays(bool, (4, 3, 5)))
def test_an_unrated_voxel_may_hold_anything(masks, rated):
    scribbled = np.where(rated, masks, 3 - masks)
    np.testing.assert_array_equal(pairwise_dice(masks, 4, rated), pairwise_dice(scribbled, 4, rated))


@pytest.mark.oracle
def test_dice_and_iou_are_monais():
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(1)
    masks = rng.integers(0, 3, (2, 20, 20))
    one_hot = torch.from_numpy(np.stack([[m == c for c in range(3)] for m in masks])).float()
    ours = overlap_counts(masks[:1], masks[1:], 3)
    np.testing.assert_allclose(dice(ours)[0, 0], monai.compute_dice(one_hot[:1], one_hot[1:])[0].numpy(), rtol=1e-6)
    np.testing.assert_allclose(iou(ours)[0, 0], monai.compute_iou(one_hot[:1], one_hot[1:])[0].numpy(), rtol=1e-6)


LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid"), LabelClass(3, "lung")),
    (LabelGroup("opacity", ("glass", "solid"), value=9),),
    unknown=255,
)


def test_structures_count_groups_and_leave_out_what_a_label_leaves_open():
    # dense labels: 0 background, 1 glass, 2 solid, 3 lung, 4 opacity, 5 unknown
    a, b = np.array([1, 2, 4, 3, 5, 0]), np.array([1, 1, 2, 3, 1, 4])
    joint = joint_histogram(a, b, 6)
    assert joint.sum() == 6
    opacity = structure_counts(joint, LABELS.membership("opacity"))
    # pixel 5 is unknown to a; in both: 0, 1, 2; in b alone: the last
    assert (opacity.both, opacity.first, opacity.second) == (3, 3, 4)
    glass = structure_counts(joint, LABELS.membership("glass"))
    # pixels 2, 4 and 5 are open to one of them; of the others both 0, a {0}, b {0, 1}
    assert (glass.both, glass.first, glass.second) == (1, 1, 2)


@given(MAPS)
def test_structure_counts_of_a_leaf_are_overlap_counts(masks):
    counts = overlap_counts(masks[:1], masks[1:2], 4)
    joint = joint_histogram(masks[0], masks[1], LABELS.admissible.shape[0])
    for c, name in enumerate(LABELS.names):
        leaf = structure_counts(joint, LABELS.membership(name))
        assert [float(x) for x in leaf] == [float(x[0, 0, c]) for x in counts]


def test_what_is_not_rated_is_left_out_of_uint8_masks_too():
    a, b = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 1, 3]])
    rated = np.array([[True, True, False, True]])  # and 3 is no class: columns 0 and 1 count
    for kind in (np.int64, np.uint8):
        counts = overlap_counts(a.astype(kind), b.astype(kind), 2, None, rated)
        assert (counts.both[0, 0, 1], counts.first[0, 0, 1], counts.second[0, 0, 1]) == (1, 2, 1)
