import math

import numpy as np
import pytest

from probseg.analysis.case_agreement import PREDICTION, case_statistics
from probseg.analysis.case_files import to_plain
from probseg.case import Case, Geometry
from probseg.errors import ProbsegError
from probseg.labels import LabelClass, LabelGroup, LabelSet

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=9),),
    unknown=255,
)  # dense: 0, 1, 2, 3 opacity, 4 unknown


def case(masks, spacing=(2.0, 1.0), thickness=5.0, rated=None):
    masks = {name: np.array(m, dtype=np.uint8) for name, m in masks.items()}
    shape = next(iter(masks.values())).shape if masks else (2, 4)
    geometry = Geometry(shape, spacing, slice_thickness_mm=thickness)
    return Case("c", "p", "s", np.zeros(shape), masks, geometry, rated or {})


def pair(statistics, structure, k=0):
    return [p for p in statistics.pairs if p.structure == structure][k]


A = [[1, 1, 2, 0], [0, 0, 0, 0]]
B = [[1, 2, 2, 2], [0, 0, 0, 0]]


def test_two_raters_by_hand():
    found = case_statistics(case({"A": A, "B": B}), LABELS)
    glass, solid, opacity = (pair(found, s) for s in ("glass", "solid", "opacity"))
    assert (glass.dice, glass.iou) == (pytest.approx(2 / 3), pytest.approx(1 / 2))
    assert (solid.dice, solid.iou) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    assert (opacity.dice, opacity.iou) == (pytest.approx(6 / 7), pytest.approx(3 / 4))
    # opacity: A to B 0, 0, 0; B to A 0, 0, 0, 1
    assert opacity.surface_mean_mm == pytest.approx(1 / 7)
    assert opacity.surface_95_mm == pytest.approx(0.85)
    # union of four voxels: first and third agreed on
    assert found.complete_agreement == pytest.approx(1 / 2)
    assert found.rater_entropy == pytest.approx(math.log(2) / 2)
    assert found.region_voxels == 4
    assert found.sizes_voxels == {"A": (2, 1, 3), "B": (1, 3, 4)}
    assert found.voxel_volume_ml == pytest.approx(0.01)
    assert found.different == (("A", "B"),)
    assert found.identical == ()


def test_empty_masks():
    nothing = np.zeros((2, 4))
    found = case_statistics(case({"A": A, "B": nothing, "C": nothing}), LABELS)
    one, both = pair(found, "glass", 0), pair(found, "glass", 2)
    assert (one.rater_b, one.dice, one.iou, one.empty) == ("B", 0.0, 0.0, 1)
    assert math.isnan(one.surface_mean_mm)
    assert both.empty == 2
    assert all(math.isnan(v) for v in (both.dice, both.iou, both.surface_mean_mm, both.surface_95_mm))
    # Two empty masks are equal, but that is no sign of a copy.
    assert found.identical == ()
    assert (("B", "C")) not in found.different
    all_empty = case_statistics(case({"B": nothing, "C": nothing}), LABELS)
    assert math.isnan(all_empty.complete_agreement)
    assert math.isnan(all_empty.rater_entropy)
    assert all_empty.sizes_voxels["B"] == (0, 0, 0)


def test_one_rater_and_none_say_nothing_of_agreement():
    for masks in ({"A": A}, {}):
        found = case_statistics(case(masks), LABELS)
        assert found.pairs == ()
        assert math.isnan(found.complete_agreement)
        assert math.isnan(found.rater_entropy)
        assert found.raters == tuple(masks)


def test_unrated_voxels_are_left_out_of_the_pair_and_leave_the_volume_open():
    rated = {"B": np.array([[True, False, True, False], [True] * 4])}
    found = case_statistics(case({"A": A, "B": B}, rated=rated), LABELS)
    assert pair(found, "opacity").dice == 1.0
    assert pair(found, "opacity").surface_95_mm == 0.0
    assert found.complete_agreement == 1.0
    assert np.isnan(found.sizes_voxels["B"]).all()
    assert found.sizes_voxels["A"] == (2, 1, 3)
    # What lies under an unrated voxel cannot matter.
    scribbled = np.where(rated["B"], B, 1)
    assert case_statistics(case({"A": A, "B": scribbled}, rated=rated), LABELS).pairs == found.pairs


def test_a_rater_who_rated_nothing_is_absent():
    rated = {"C": np.zeros((1, 1), dtype=bool)}
    found = case_statistics(case({"A": A, "B": B, "C": A}, rated=rated), LABELS)
    plain = case_statistics(case({"A": A, "B": B}), LABELS)
    assert to_plain(found) == to_plain(plain)


def test_raters_who_never_looked_at_the_same_voxel_are_no_pair():
    top, bottom = np.array([[True], [False]]), np.array([[False], [True]])
    found = case_statistics(case({"A": A, "B": B}, rated={"A": top, "B": bottom}), LABELS)
    assert found.raters == ("A", "B")
    assert found.pairs == ()
    assert found.different == ()
    assert math.isnan(found.complete_agreement)


def test_a_group_label_is_compared_as_a_group():
    group = [[3, 3, 3, 0], [0, 0, 0, 0]]
    found = case_statistics(case({"A": A, "B": group}), LABELS)
    assert pair(found, "opacity").dice == 1.0
    # Of glass B says only where there is none, and there A has none either.
    assert pair(found, "glass").empty == 2
    assert np.isnan(found.sizes_voxels["B"][0])
    assert found.sizes_voxels["B"][2] == 3
    assert found.undecided_voxels == 3


def test_unknown_voxels_leave_the_outline_of_both():
    unknown = [[1, 1, 2, 4], [0, 0, 0, 0]]
    found = case_statistics(case({"A": unknown, "B": B}), LABELS)
    assert pair(found, "opacity").dice == 1.0
    assert pair(found, "opacity").surface_95_mm == 0.0


def test_no_spacing_no_millimetres():
    found = case_statistics(case({"A": A, "B": B}, spacing=None), LABELS)
    assert pair(found, "opacity").dice == pytest.approx(6 / 7)
    assert math.isnan(pair(found, "opacity").surface_mean_mm)
    assert math.isnan(found.voxel_volume_ml)


def test_identical_masks_are_named():
    found = case_statistics(case({"A": A, "B": B, "C": A}), LABELS)
    assert found.identical == (("A", "C"),)
    assert set(found.different) == {("A", "B"), ("B", "C")}


def test_a_prediction_is_compared_with_each_rater_and_changes_nothing_else():
    plain = case_statistics(case({"A": A, "prediction": B}), LABELS)
    found = case_statistics(case({"A": A, "prediction": B}), LABELS, np.array(A))
    assert found.pairs == plain.pairs
    assert found.complete_agreement == plain.complete_agreement
    assert [(p.rater_a, p.rater_b) for p in found.prediction_pairs[::3]] == [
        ("A", PREDICTION),
        ("prediction", PREDICTION),
    ]
    assert found.prediction_pairs[0].dice == 1.0
    with pytest.raises(ProbsegError, match="E_SHAPE_MISMATCH"):
        case_statistics(case({"A": A}), LABELS, np.zeros((2, 5)))


def test_cropping_to_what_was_drawn_changes_nothing():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 5, (3, 4, 5, 6)).astype(np.uint8)
    wide = np.zeros((3, 10, 11, 12), np.uint8)
    wide[:, 3:7, 2:7, 5:11] = small
    geometries = [Geometry(m.shape[1:], (2.0, 1.0, 1.5)) for m in (small, wide)]
    found = [
        case_statistics(Case("c", "p", "s", np.zeros(g.shape), dict(zip("ABC", m, strict=True)), g), LABELS)
        for m, g in zip((small, wide), geometries, strict=True)
    ]
    assert found[0].pairs == found[1].pairs
    assert found[0].complete_agreement == found[1].complete_agreement
