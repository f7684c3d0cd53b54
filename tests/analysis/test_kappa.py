import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.kappa import alpha_of_counts, cohen_kappa, fleiss_kappa, kappa_of_counts, krippendorff_alpha

# Ten subjects, five categories, fourteen raters: the table that illustrates Fleiss (1971).
FLEISS = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)

LABELS = hnp.arrays(np.uint8, (3, 12), elements=st.integers(0, 3))
RATED = hnp.arrays(bool, (3, 12))


def test_cohen_check_value():
    a, b = np.repeat([0, 0, 1, 1], [20, 5, 10, 15]), np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    # observed 35/50; expected .5 * .6 + .5 * .4
    assert cohen_kappa(a, b) == pytest.approx(0.4)
    assert cohen_kappa(a.reshape(5, 10), b.reshape(5, 10)) == pytest.approx(0.4)


def test_fleiss_check_value():
    assert kappa_of_counts(FLEISS) == pytest.approx(0.210, abs=5e-4)
    masks = np.stack([np.repeat(np.arange(5), row) for row in FLEISS], axis=1)
    assert masks.shape == (14, 10)
    assert fleiss_kappa(masks, 5, np.ones(10, dtype=bool)) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_looks_at_the_union_of_foreground_unless_told():
    masks = np.array([[1, 1, 0, 2, 0, 0, 0], [1, 2, 1, 2, 0, 0, 0]])
    assert fleiss_kappa(masks, 3) == pytest.approx(fleiss_kappa(masks[:, :4], 3, np.ones(4, dtype=bool)))
    assert fleiss_kappa(masks, 3) < fleiss_kappa(masks, 3, np.ones(7, dtype=bool))
    # A voxel without everybody's vote is left out.
    beyond = np.array([[1, 1, 0, 2, 1], [1, 2, 1, 2, 9]])
    assert fleiss_kappa(beyond, 3) == fleiss_kappa(masks, 3)


def test_krippendorff_by_hand():
    # Two raters; agree on 0, agree on 1, differ: of six votes three are 0 and three are 1.
    masks = np.array([[0, 1, 0], [0, 1, 1]])
    # observed 2/6, expected (36 - 18) / 30
    assert krippendorff_alpha(masks) == pytest.approx(1 - (1 / 3) / 0.6)
    # A voxel with one vote says nothing.
    rated = np.array([[True, True, True, True], [True, True, True, False]])
    assert krippendorff_alpha(np.array([[0, 1, 0, 1], [0, 1, 1, 0]]), rated) == krippendorff_alpha(masks)


def test_undefined():
    same, none = np.ones((3, 4), int), np.zeros((3, 0), int)
    for masks in (same, none, np.array([[0, 1, 2]])):
        assert math.isnan(krippendorff_alpha(masks))
        assert math.isnan(fleiss_kappa(masks, 3))
    assert math.isnan(cohen_kappa(same[0], same[1]))
    assert math.isnan(cohen_kappa(none[0], none[1]))
    assert math.isnan(krippendorff_alpha(same, np.zeros((3, 4), dtype=bool)))
    assert math.isnan(alpha_of_counts(np.zeros((0, 2))))


@given(LABELS, RATED, st.permutations(range(3)), st.permutations(range(4)))
def test_neither_order_nor_names_matter(masks, rated, order, names):
    renamed = np.array(names)[masks[order]]
    assert krippendorff_alpha(renamed, rated[order]) == pytest.approx(krippendorff_alpha(masks, rated), nan_ok=True)
    assert cohen_kappa(renamed[0], renamed[1]) == pytest.approx(
        cohen_kappa(masks[order[1]], masks[order[0]]), nan_ok=True
    )
    whole = np.ones(12, dtype=bool)
    assert fleiss_kappa(renamed, 4, whole) == pytest.approx(fleiss_kappa(masks, 4, whole), nan_ok=True)


@given(LABELS)
def test_complete_agreement_is_one(masks):
    copies = np.stack([masks[0]] * 3)
    for figure in (krippendorff_alpha(copies), cohen_kappa(copies[0], copies[1])):
        assert figure == pytest.approx(1.0) if len(np.unique(copies)) > 1 else math.isnan(figure)


def test_random_raters_agree_by_chance():
    masks = np.random.default_rng(0).integers(0, 3, (4, 20000))
    for figure in (krippendorff_alpha(masks), fleiss_kappa(masks, 3, np.ones(20000, dtype=bool))):
        assert figure == pytest.approx(0.0, abs=0.01)


@pytest.mark.oracle
def test_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, 300)
    b = np.where(rng.random(300) < 0.6, a, rng.integers(0, 4, 300))
    assert cohen_kappa(a, b) == pytest.approx(metrics.cohen_kappa_score(a, b))


@pytest.mark.oracle
def test_krippendorff_package():
    krippendorff = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 200)
    masks = np.where(rng.random((5, 200)) < 0.7, truth, rng.integers(0, 4, (5, 200)))
    rated = rng.random((5, 200)) < 0.6
    data = np.where(rated, masks, np.nan)
    theirs = krippendorff.alpha(reliability_data=data, level_of_measurement="nominal")
    assert krippendorff_alpha(masks, rated) == pytest.approx(theirs)
