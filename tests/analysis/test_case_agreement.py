import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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


MASKS = hnp.arrays(np.uint8, (4, 2, 4, 5), elements=st.sampled_from([0, 0, 1, 2, 3, 4]))
LEAVES = hnp.arrays(np.uint8, (3, 2, 4, 5), elements=st.sampled_from([0, 0, 1, 2]))
RATED = hnp.arrays(bool, (4, 2, 4, 5))


def volume(masks, names="ABCD", rated=None, prediction=None, region="union"):
    looked = {} if rated is None else dict(zip(names, rated, strict=False))
    made = Case("c", "p", "s", np.zeros((0, 2, 4, 5)), dict(zip(names, masks, strict=False)), GRID, looked)
    return case_statistics(made, LABELS, prediction, region=region)


GRID = Geometry((2, 4, 5), (3.0, 1.0, 0.7))


def by_pair(found):
    """Figures of each unordered pair, the directed ones from the first name to the other."""
    out = {}
    for p in found.pairs:
        figures = {k: v for k, v in vars(p).items() if k not in ("rater_a", "rater_b", "structure")}
        if p.rater_a > p.rater_b:
            for one, other in (("surface_mean_ab_mm", "surface_mean_ba_mm"), ("surface_95_ab_mm", "surface_95_ba_mm")):
                figures[one], figures[other] = figures[other], figures[one]
        out[tuple(sorted((p.rater_a, p.rater_b))), p.structure] = figures
    return out


def same_pairs(one, other):
    assert set(one) == set(other)
    for key, figures in one.items():
        for name, value in figures.items():
            assert value == pytest.approx(other[key][name], nan_ok=True, rel=1e-12), (key, name)


@settings(max_examples=25)
@given(MASKS, RATED, st.permutations(range(4)))
def test_the_order_of_raters_does_not_matter(masks, rated, order):
    found = volume(masks, rated=rated)
    turned = volume(masks[order], "".join("ABCD"[k] for k in order), rated[order])
    same_pairs(by_pair(found), by_pair(turned))
    for name in ("complete_agreement", "rater_entropy", "fleiss_kappa", "krippendorff_alpha"):
        np.testing.assert_allclose(getattr(found.votes, name), getattr(turned.votes, name), rtol=1e-9, atol=1e-12)


@settings(max_examples=25)
@given(MASKS, RATED)
def test_a_missing_rater_is_a_dropped_one_and_others_are_not_asked(masks, rated):
    rated[3] = False
    found, dropped = volume(masks, rated=rated), volume(masks[:3], rated=rated[:3])
    assert to_plain(found) == to_plain(dropped)
    # what two raters have in common does not depend on a third, but for the region, which all declare
    whole, two = volume(masks[:3], region="whole"), volume(masks[:2], region="whole")
    same_pairs({k: v for k, v in by_pair(whole).items() if k[0] == ("A", "B")}, by_pair(two))
    scribbled = volume(np.where(rated, masks, 1), rated=rated)
    assert to_plain(scribbled) == to_plain(found)


@settings(max_examples=25)
@given(MASKS)
def test_a_copy_agrees_with_its_original_in_everything(masks):
    found = volume(np.stack([masks[0], masks[0], masks[1]]))
    for p in found.pairs:
        if (p.rater_a, p.rater_b) != ("A", "B"):
            continue
        assert (p.class_voxels, p.presence_voxels, p.extent_voxels) == (0, 0, 0)
        assert p.dice == 1.0 if p.empty == 0 else math.isnan(p.dice)
        for value, best in ((p.surface_95_mm, 0.0), (p.surface_mean_mm, 0.0), *((d, 1.0) for d in p.surface_dice)):
            assert math.isnan(value) or value == best
        assert math.isnan(p.cohen_kappa) or p.cohen_kappa == pytest.approx(1.0)
    same = (masks[0] > 0).any()
    assert (("A", "B") in found.identical) == same


@settings(max_examples=25)
@given(MASKS, RATED)
def test_the_parts_sum_to_the_whole(masks, rated):
    found = volume(masks, rated=rated)
    known = rated & (masks < 5)
    assert found.patterns.voxels.sum() == masks[0].size
    tables = {(t.rater_a, t.rater_b): t for t in found.pair_tables}
    for p in found.pairs:
        i, j = "ABCD".index(p.rater_a), "ABCD".index(p.rater_b)
        both, table = known[i] & known[j], tables[p.rater_a, p.rater_b]
        assert table.joint.sum() == both.sum()
        member = LABELS.membership(p.structure)
        a, b = member[masks[i]], member[masks[j]]
        decided = both & (a != -1) & (b != -1)
        assert p.class_voxels + p.presence_voxels + p.extent_voxels == ((a != b) & decided).sum()
        assert table.region.sum() <= table.joint.sum()
        assert (table.region <= table.joint).all()
        if p.surface_95_mm == p.surface_95_mm:
            assert p.surface_95_mm == max(p.surface_95_ab_mm, p.surface_95_ba_mm)
            assert min(p.surface_mean_ab_mm, p.surface_mean_ba_mm) <= p.surface_mean_mm + 1e-12


@pytest.mark.oracle
@settings(max_examples=25)
@given(LEAVES, RATED)
def test_scikit_learn(masks, rated):
    metrics = pytest.importorskip("sklearn.metrics")
    found = volume(masks, "ABC", rated[:3], region="whole")
    for table in found.pair_tables:
        i, j = "ABC".index(table.rater_a), "ABC".index(table.rater_b)
        both = rated[i] & rated[j]
        theirs = metrics.confusion_matrix(masks[i][both], masks[j][both], labels=range(len(LABELS.values)))
        np.testing.assert_array_equal(table.joint, theirs)
        if len(np.unique(masks[[i, j]][:, both])) > 1:
            kappa = metrics.cohen_kappa_score(masks[i][both], masks[j][both])
            assert table.cohen_kappa(3) == pytest.approx(kappa)
    for p in found.pairs:
        i, j = "ABC".index(p.rater_a), "ABC".index(p.rater_b)
        both, member = rated[i] & rated[j], LABELS.membership(p.structure)
        a, b = member[masks[i][both]], member[masks[j][both]]
        if a.any() or b.any():
            assert p.dice == pytest.approx(metrics.f1_score(a, b))
            assert p.iou == pytest.approx(metrics.jaccard_score(a, b))
