import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.patterns import PatternTable, vote_patterns
from probseg.analysis.simple_fusion import simple_fusion, simple_of_patterns
from probseg.errors import ProbsegError
from probseg.fusion import majority

MASKS = hnp.arrays(np.uint8, (4, 3, 6), elements=st.integers(0, 2))


def test_by_hand():
    masks = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]])
    found = simple_fusion(masks)
    # The majority is three voxels: Dice 1, 1, 6/7, 0, and the last is dropped.
    assert found.kept.tolist() == [True, True, True, False]
    assert found.performance.tolist() == pytest.approx([1, 1, 6 / 7, 0])
    assert found.labels.tolist() == [1, 1, 1, 0, 0, 0]
    # two of weight 1 against one of 6/7
    assert found.probability[1].tolist() == pytest.approx([1, 1, 1, (6 / 7) / (2 + 6 / 7), 0, 0])
    assert simple_fusion(masks, threshold=0.9).kept.tolist() == [True, True, False, False]
    assert simple_fusion(masks, threshold=0.0).kept.all()


def test_it_hears_the_good_raters_where_a_vote_hears_the_many():
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 40), int)
    truth[10:30, 8:28] = 1
    good = [np.where(rng.random(truth.shape) < 0.02, 1 - truth, truth) for _ in range(4)]
    bad = [np.where(rng.random(truth.shape) < 0.45, 1 - truth, truth) for _ in range(3)]
    masks = np.stack(good + bad)
    found = simple_fusion(masks)
    assert found.kept.tolist() == [True] * 4 + [False] * 3
    assert (found.labels != truth).sum() < (majority(masks, None, 2)[0] != truth).sum()


def test_nobody_one_and_nothing():
    with pytest.raises(ProbsegError, match="E_NO_LABELS"):
        simple_fusion(np.zeros((2, 4), int), rated=np.zeros((2, 4), bool))
    with pytest.raises(ProbsegError, match="E_ARGUMENT: the threshold of SIMPLE must be a share from 0 to 1, but is 2"):
        simple_fusion(np.zeros((2, 4), int), threshold=2)
    one = simple_fusion(np.array([[0, 1, 1, 0]]))
    assert one.labels.tolist() == [0, 1, 1, 0]
    assert np.isnan(one.performance).all()
    empty = simple_fusion(np.zeros((3, 4), int))
    assert empty.performance.tolist() == [1, 1, 1]
    assert empty.kept.all()
    # Four raters who share nothing: the vote is background, and nobody is better than another.
    apart = simple_fusion(np.eye(4, dtype=int))
    assert apart.performance.tolist() == [0, 0, 0, 0]
    assert apart.kept.all()


@settings(max_examples=50)
@given(MASKS, st.permutations(range(4)))
def test_laws(masks, order):
    found, turned = simple_fusion(masks, 3), simple_fusion(masks[order], 3)
    np.testing.assert_allclose(found.probability, turned.probability, atol=1e-9)
    np.testing.assert_array_equal(found.kept[order], turned.kept)
    np.testing.assert_allclose(found.probability.sum(axis=0), 1.0)
    assert found.kept.sum() >= 2
    # who rated nothing is as if absent
    rated = np.ones(masks.shape, bool)
    rated[1] = False
    dropped, missing = simple_fusion(np.delete(masks, 1, axis=0), 3), simple_fusion(masks, 3, rated)
    np.testing.assert_allclose(dropped.probability, missing.probability)
    assert np.isnan(missing.performance[1])
    assert not missing.kept[1]
    copies = simple_fusion(np.stack([masks[0]] * 3), 3)
    np.testing.assert_array_equal(copies.labels, masks[0])
    assert copies.performance.tolist() == [1, 1, 1]


def test_votes_are_enough():
    masks = np.random.default_rng(0).integers(0, 3, (4, 5, 6))
    found, patterns = simple_fusion(masks, 3), vote_patterns(masks, 3)
    few = simple_of_patterns(PatternTable(patterns.labels, patterns.voxels), 3)
    np.testing.assert_array_equal(few.probability[:, patterns.which], found.probability)
