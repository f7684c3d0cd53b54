import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.entropy import complete_agreement, rater_entropy
from probseg.analysis.kappa import fleiss_kappa, krippendorff_alpha
from probseg.analysis.patterns import vote_patterns
from probseg.analysis.region import combination_region
from probseg.analysis.vote_tables import VoteTables, vote_tables
from probseg.labels import LabelClass, LabelGroup, LabelSet

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=9),),
    unknown=255,
)  # dense: 0, 1, 2, 3 opacity, 4 unknown, 5 not rated
LEAVES = hnp.arrays(np.uint8, (3, 24), elements=st.integers(0, 2))
ANY = hnp.arrays(np.uint8, (3, 24), elements=st.integers(0, 5))


def tables(masks, region="union"):
    found = vote_patterns(masks, len(LABELS.values))
    inside = combination_region(found.labels, LABELS, region)
    return vote_tables(found.labels, found.voxels, inside, LABELS)


def test_by_hand():
    votes = tables(np.array([[1, 1, 2, 0], [1, 2, 2, 0]]))
    # all classes: three voxels drawn, two agreed on; opacity: the same three, all agreed on; glass: two, one agreed on
    assert votes.union_voxels.tolist() == [3, 2, 2, 3]
    assert votes.agreed_voxels.tolist() == [2, 1, 1, 3]
    assert votes.complete_agreement.tolist() == pytest.approx([2 / 3, 1 / 2, 1 / 2, 1.0])
    assert votes.region_voxels.tolist() == [3, 3, 3, 3]
    assert votes.rater_entropy.tolist() == pytest.approx([math.log(2) / 3, math.log(2) / 3, math.log(2) / 3, 0.0])
    # of six votes three are glass and three solid: kappa (2/3 - 1/2) / (1/2)
    assert votes.fleiss_kappa[0] == pytest.approx(1 / 3)
    # opacity is all there is in the region, so there is no chance to go beyond; the whole image has background as well
    assert math.isnan(votes.fleiss_kappa[3])
    assert tables(np.array([[1, 1, 2, 0], [1, 2, 2, 0]]), "whole").fleiss_kappa[3] == 1.0


def test_a_group_is_a_vote_on_itself_and_none_on_its_classes():
    votes = tables(np.array([[1, 0], [3, 3]]))
    # all classes and glass: the group names none, so no voxel has two votes
    assert votes.region_voxels.tolist() == [0, 0, 0, 2]
    assert votes.union_voxels[3] == 2
    assert votes.agreed_voxels[3] == 1
    assert np.isnan(votes.rater_entropy[:3]).all()


def test_one_rater_says_nothing():
    votes = tables(np.array([[0, 1, 2]]))
    for figure in (votes.complete_agreement, votes.rater_entropy, votes.fleiss_kappa, votes.krippendorff_alpha):
        assert np.isnan(figure).all()


@settings(max_examples=50)
@given(LEAVES)
def test_they_are_the_figures_of_the_voxels(masks):
    votes, drawn = tables(masks), (masks > 0).any(axis=0)
    assert votes.complete_agreement[0] == pytest.approx(complete_agreement(masks, 3), nan_ok=True)
    mean = rater_entropy(masks, 3)[drawn].mean() if drawn.any() else math.nan
    assert votes.rater_entropy[0] == pytest.approx(mean, nan_ok=True, abs=1e-12)
    assert votes.fleiss_kappa[0] == pytest.approx(fleiss_kappa(masks, 3), nan_ok=True)
    assert votes.krippendorff_alpha[0] == pytest.approx(krippendorff_alpha(masks[:, drawn]), nan_ok=True)
    for k, name in enumerate(LABELS.structures, start=1):
        inside = (LABELS.membership(name)[masks] == 1).astype(int)
        assert votes.fleiss_kappa[k] == pytest.approx(fleiss_kappa(inside, 2, drawn), nan_ok=True)
        assert votes.krippendorff_alpha[k] == pytest.approx(krippendorff_alpha(inside[:, drawn]), nan_ok=True)
        assert votes.complete_agreement[k] == pytest.approx(complete_agreement(inside, 2), nan_ok=True)


def same(a: VoteTables, b: VoteTables):
    for name, value in vars(a).items():
        np.testing.assert_allclose(value, getattr(b, name), err_msg=name)


@settings(max_examples=50)
@given(ANY, st.permutations(range(3)), st.integers(0, 24))
def test_order_missing_raters_and_parts(masks, order, cut):
    votes = tables(masks)
    same(votes, tables(masks[order]))
    same(votes, tables(masks[:, :cut]) + tables(masks[:, cut:]))
    # a rater who rated nothing is as if absent, but for who counts as everybody
    missing = np.concatenate([masks, np.full((1, 24), 5, np.uint8)])
    for name in ("complete_agreement", "rater_entropy", "krippendorff_alpha"):
        np.testing.assert_allclose(getattr(tables(missing), name), getattr(votes, name))


@given(LEAVES)
def test_copies_agree(masks):
    votes = tables(np.stack([masks[0]] * 3))
    for figure, perfect in ((votes.complete_agreement, 1.0), (votes.fleiss_kappa, 1.0), (votes.rater_entropy, 0.0)):
        np.testing.assert_allclose(figure[~np.isnan(figure)], perfect, atol=1e-12)
