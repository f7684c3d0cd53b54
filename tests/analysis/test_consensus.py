import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.case_agreement import case_statistics
from probseg.analysis.consensus import against_others, dice_of_hits, sensitivity_of_hits, specificity_of_hits
from probseg.case import Case, Geometry
from probseg.labels import LabelClass, LabelGroup, LabelSet

BINARY = LabelSet.binary("nodule")
OPACITY = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=3),),
)


def counts(masks, labels=BINARY, prediction=None, region="union", rated=None):
    arrays = {f"r{k}": np.array([m], dtype=np.uint8) for k, m in enumerate(masks)}
    shape = arrays["r0"].shape
    looked = {f"r{k}": np.array([v], dtype=bool) for k, v in (rated or {}).items()}
    case = Case("c", "p", "", np.zeros(shape, np.int16), arrays, Geometry(shape, (1.0, 1.0)), looked)
    statistics = case_statistics(case, labels, None if prediction is None else np.array([prediction]), region=region)
    return against_others(statistics, labels, region)


def test_three_raters_by_hand():
    masks = [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0]]
    found = counts(masks)
    # Without r0 the others agree on voxels 1 and 2 and tie on 0 and 3, which are then outside: TP 1, FN 2, FP 0.
    # The union is voxels 0 to 3; voxel 4 is a true negative of the whole image only.
    assert found.whole[0, 0, 0].tolist() == [1, 1, 1, 2]
    assert found.region[0, 0, 0].tolist() == [1, 1, 1, 1]
    assert found.ties[0].tolist() == [2]
    assert dice_of_hits(found.whole)[0, 0, 0] == pytest.approx(0.5)
    assert sensitivity_of_hits(found.region)[0, 0, 0] == 0.5
    assert specificity_of_hits(found.region)[0, 0, 0] == 0.5
    # r1 against r0 and r2: they agree on voxel 1 alone
    assert found.whole[1, 0, 0].tolist() == [1, 0, 2, 2]
    # confusion of r0: the others say 0 (tie), 1, 1, 0 (tie) in the union
    assert found.confusion[0].tolist() == [[1, 1], [1, 1]]
    # no prediction: nothing in its place
    assert not found.whole[:, 1].any()


def test_the_prediction_takes_the_place_of_each_rater():
    found = counts([[1, 1, 0, 0], [1, 0, 0, 0]], prediction=[1, 1, 1, 0])
    # against r1 alone (r0 left out): TP 1, FP 2 of which one lies outside the raters' union, TN 1
    assert found.whole[0, 1, 0].tolist() == [1, 0, 2, 1]
    assert found.region[0, 1, 0].tolist() == [1, 0, 1, 0]
    # against r0 alone
    assert found.whole[1, 1, 0].tolist() == [2, 0, 1, 1]


def test_a_group_is_asked_about_as_a_group():
    # The others call voxel 0 glass and solid: no majority for either, and a full one for opacity.
    found = counts([[1, 0], [1, 0], [2, 0]], OPACITY)
    hits = dict(zip(OPACITY.structures, found.whole[0, 0].tolist(), strict=True))
    assert hits["glass"] == [0, 0, 1, 1]
    assert hits["opacity"] == [1, 0, 0, 1]
    assert found.ties[0].tolist() == [1, 1, 0]
    # A vote for the group decides the group and nothing else.
    vague = counts([[1, 0], [3, 0]], OPACITY)
    hits = dict(zip(OPACITY.structures, vague.whole[0, 0].tolist(), strict=True))
    assert hits["opacity"] == [1, 0, 0, 1]
    assert hits["glass"] == [0, 0, 0, 1]


def test_a_lone_rater_has_no_others():
    found = counts([[1, 0]], prediction=[1, 1])
    assert not found.whole.any() and not found.confusion.any()
    assert np.isnan(dice_of_hits(found.whole)).all()
    assert np.isnan(sensitivity_of_hits(found.region)).all()


@given(st.integers(0, 10_000), st.integers(2, 5), st.sampled_from(["union", "whole", "solid"]))
@settings(max_examples=40, deadline=None)
def test_counts_equal_those_of_voxels(seed, raters, region):
    """The same by voxels, one after the other, with what some raters did not look at."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 4, size=(raters, 30))
    rated = {k: rng.random(30) < 0.9 for k in range(raters)}
    for k in range(raters):
        rated[k][0] = True
    prediction = rng.integers(0, 3, size=30)
    found = counts(masks, OPACITY, prediction, region, rated)
    for s, name in enumerate(OPACITY.structures):
        member = OPACITY.membership(name)
        for h in range(raters):
            expected = np.zeros((2, 4), dtype=int)
            for v in range(30):
                looked = [k for k in range(raters) if rated[k][v]]
                if region == "union" and not any(masks[k, v] for k in looked):
                    continue
                if region == "solid" and not any(masks[k, v] == 2 for k in looked):
                    continue
                others = [member[masks[k, v]] for k in looked if k != h and member[masks[k, v]] != -1]
                own = [member[masks[h, v]] if rated[h][v] else -1, member[prediction[v]]]
                for place in range(2):
                    if others and own[place] != -1:
                        truth = 2 * sum(others) > len(others)
                        place_of = {(1, True): 0, (0, True): 1, (1, False): 2, (0, False): 3}
                        expected[place, place_of[int(own[place]), truth]] += 1
            np.testing.assert_array_equal(found.region[h, :, s], expected)


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_the_order_of_raters_is_irrelevant(seed):
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 4, size=(4, 25))
    order = rng.permutation(4)
    one, other = counts(masks, OPACITY), counts(masks[order], OPACITY)
    np.testing.assert_array_equal(one.region[order], other.region)
    np.testing.assert_array_equal(one.confusion[order], other.confusion)
