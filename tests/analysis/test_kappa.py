import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.kappa import (
    alpha_of_coincidences,
    alpha_of_counts,
    cohen_kappa,
    coincidences,
    fleiss_kappa,
    kappa_and_alpha,
    kappa_of_counts,
    kappa_of_joint,
    krippendorff_alpha,
)

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


def test_tables_of_parts_add_up():
    counts = np.random.default_rng(0).integers(0, 4, (30, 3))
    whole = coincidences(counts)
    np.testing.assert_allclose(coincidences(counts[:11]) + coincidences(counts[11:]), whole)
    np.testing.assert_allclose(whole, whole.T)
    # A voxel weighs by its votes, of which there are two or more.
    votes = counts.sum(axis=1)
    assert whole.sum() == pytest.approx(votes[votes >= 2].sum())
    # By hand: votes 2 and 1 make pairs 0-0 (2 ordered), 0-1 and 1-0 (2 each), over m - 1 = 2.
    np.testing.assert_allclose(coincidences(np.array([[2, 1]])), [[1, 1], [1, 0]])
    # Many tables at once.
    both = np.stack([whole, coincidences(counts[:11])])
    assert alpha_of_coincidences(both).tolist() == [alpha_of_counts(counts), alpha_of_counts(counts[:11])]


@given(LABELS, st.integers(0, 2))
def test_a_rater_who_did_not_rate_is_as_if_absent(masks, missing):
    rated = np.ones(masks.shape, bool)
    rated[missing] = False
    dropped = np.delete(masks, missing, axis=0)
    assert krippendorff_alpha(masks, rated) == pytest.approx(krippendorff_alpha(dropped), nan_ok=True)


@given(LABELS)
def test_two_raters_twice_over(masks):
    """Fleiss' and Krippendorff's figures differ by the correction for few voxels only."""
    n, kappa = masks.size, fleiss_kappa(masks, 4, np.ones(12, dtype=bool))
    alpha = krippendorff_alpha(masks)
    assert alpha == pytest.approx(1 - (1 - kappa) * (n - 1) / n, nan_ok=True)


@given(LABELS, RATED)
def test_both_from_one_look(masks, rated):
    kappa, alpha = kappa_and_alpha(masks, 4, rated)
    all_rated = rated.all(axis=0)
    assert kappa == pytest.approx(fleiss_kappa(masks, 4, all_rated), nan_ok=True)
    assert alpha == pytest.approx(krippendorff_alpha(masks, rated), nan_ok=True)


@pytest.mark.oracle
@settings(max_examples=40)
@given(LABELS)
def test_scikit_learn(masks):
    metrics = pytest.importorskip("sklearn.metrics")
    ours = cohen_kappa(masks[0], masks[1])
    if len(np.unique(masks[:2])) > 1:
        assert ours == pytest.approx(metrics.cohen_kappa_score(masks[0], masks[1]))
    joint = metrics.confusion_matrix(masks[0], masks[1], labels=range(4))
    assert kappa_of_joint(joint) == pytest.approx(ours, nan_ok=True)


@pytest.mark.oracle
@settings(max_examples=40)
@given(LABELS)
def test_statsmodels(masks):
    theirs = pytest.importorskip("statsmodels.stats.inter_rater")
    table, _ = theirs.aggregate_raters(masks.T, n_cat=4)
    if len(np.unique(masks)) > 1:
        ours = fleiss_kappa(masks, 4, np.ones(12, dtype=bool))
        assert ours == pytest.approx(theirs.fleiss_kappa(table, method="fleiss"))


@pytest.mark.oracle
@settings(max_examples=40)
@given(LABELS, RATED)
def test_krippendorff_package(masks, rated):
    krippendorff = pytest.importorskip("krippendorff")
    ours = krippendorff_alpha(masks, rated)
    if not math.isnan(ours):
        data = np.where(rated, masks, np.nan)
        theirs = krippendorff.alpha(reliability_data=data, level_of_measurement="nominal")
        assert ours == pytest.approx(theirs)
