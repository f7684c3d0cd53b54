import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.patterns import PatternTable, vote_patterns
from probseg.analysis.staple import staple, staple_of_patterns
from probseg.errors import ProbsegError, ProbsegWarning


def raters(seed, truth, habits):
    """Masks of raters with known confusion matrices."""
    rng = np.random.default_rng(seed)
    cumulative = [np.cumsum(np.asarray(h), axis=1) for h in habits]
    return np.stack([(rng.random(truth.shape)[..., None] > c[truth]).sum(axis=-1) for c in cumulative])


BINARY = [[[0.95, 0.05], [0.1, 0.9]], [[0.99, 0.01], [0.4, 0.6]], [[0.8, 0.2], [0.05, 0.95]]]


def test_unanimous_raters_are_right():
    masks = np.array([[0, 1, 1, 0]] * 3)
    found = staple(masks)
    np.testing.assert_allclose(found.probability[1], [0, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(found.sensitivity, 1.0, atol=1e-6)
    np.testing.assert_allclose(found.specificity, 1.0, atol=1e-6)
    assert found.converged


def test_it_finds_how_good_each_rater_is():
    truth = (np.random.default_rng(0).random((80, 80)) < 0.3).astype(int)
    found = staple(raters(1, truth, BINARY))
    np.testing.assert_allclose(found.sensitivity[:, 1], [0.9, 0.6, 0.95], atol=0.04)
    np.testing.assert_allclose(found.specificity[:, 1], [0.95, 0.99, 0.8], atol=0.04)
    # In two classes the sensitivity of one is the specificity of the other.
    np.testing.assert_allclose(found.specificity[:, 1], found.sensitivity[:, 0], atol=1e-9)
    np.testing.assert_allclose(found.probability.sum(axis=0), 1.0)


def test_three_classes():
    truth = np.random.default_rng(0).integers(0, 3, 12000)
    habit = np.array([[0.9, 0.05, 0.05], [0.05, 0.8, 0.15], [0.02, 0.28, 0.7]])
    found = staple(raters(1, truth, [habit] * 4), 3)
    np.testing.assert_allclose(found.confusion, np.broadcast_to(habit, (4, 3, 3)), atol=0.04)
    assert (found.probability.argmax(axis=0) == truth).mean() > 0.9


def test_who_did_not_look_is_not_asked():
    truth = (np.random.default_rng(0).random(6000) < 0.4).astype(int)
    masks = raters(1, truth, BINARY)
    rated = np.ones(masks.shape, dtype=bool)
    rated[1] = False
    dropped, missing = staple(masks[[0, 2]]), staple(masks, rated=rated)
    np.testing.assert_allclose(missing.probability, dropped.probability, atol=1e-6)
    rated[:, 0] = False
    nobody = staple(masks, rated=rated)
    np.testing.assert_array_equal(nobody.probability[:, 0], 0.0)
    scribbled = np.where(rated, masks, 1 - masks)
    np.testing.assert_array_equal(staple(scribbled, rated=rated).probability, nobody.probability)


def test_order_of_raters_does_not_matter():
    truth = (np.random.default_rng(0).random(3000) < 0.4).astype(int)
    masks = raters(1, truth, BINARY)
    first, second = staple(masks), staple(masks[[2, 0, 1]])
    np.testing.assert_allclose(first.probability, second.probability, atol=1e-6)
    np.testing.assert_allclose(first.sensitivity[[2, 0, 1]], second.sensitivity, atol=1e-6)


def test_a_class_that_nobody_gave():
    found = staple(np.array([[0, 1, 1, 0]] * 2), 3)
    np.testing.assert_allclose(found.probability[2], 0.0, atol=1e-12)
    assert np.isnan(found.sensitivity[:, 2]).all()
    assert np.isnan(found.specificity[:, 2]).all()


def test_limits():
    with pytest.raises(ProbsegError, match="E_NO_LABELS"):
        staple(np.zeros((2, 4), int), rated=np.zeros((2, 4), dtype=bool))
    truth = (np.random.default_rng(0).random(3000) < 0.4).astype(int)
    with pytest.warns(ProbsegWarning, match="W_NOT_CONVERGED"):
        assert not staple(raters(1, truth, BINARY), max_iterations=2).converged


def test_raters_who_all_drew_nothing_are_certain_and_not_judged():
    found = staple(np.zeros((3, 4, 5), int))
    np.testing.assert_array_equal(found.probability[0], 1.0)
    np.testing.assert_array_equal(found.probability[1], 0.0)
    np.testing.assert_array_equal(found.sensitivity[:, 0], 1.0)
    assert np.isnan(found.sensitivity[:, 1]).all()
    assert np.isnan(found.specificity[:, 1]).all()
    assert found.converged


def test_one_rater_is_taken_at_their_word_and_not_judged():
    mask = np.array([[0, 1, 1, 0]])
    found = staple(mask)
    np.testing.assert_allclose(found.probability[1], mask[0])
    for figure in (found.sensitivity, found.specificity, found.confusion):
        assert np.isnan(figure).all()


def test_votes_are_enough():
    truth = np.random.default_rng(0).integers(0, 3, (20, 30))
    habit = np.array([[0.9, 0.05, 0.05], [0.05, 0.8, 0.15], [0.02, 0.28, 0.7]])
    masks = raters(1, truth, [habit] * 3)
    whole, patterns = staple(masks, 3), vote_patterns(masks, 3)
    few = staple_of_patterns(PatternTable(patterns.labels, patterns.voxels), 3)
    np.testing.assert_array_equal(few.probability[:, patterns.which], whole.probability)
    np.testing.assert_array_equal(few.confusion, whole.confusion)


def test_background_around_changes_the_prior_only():
    truth = (np.random.default_rng(0).random((12, 12)) < 0.4).astype(int)
    masks = np.pad(raters(1, truth, BINARY), ((0, 0), (9, 5), (3, 8)))
    masks[:, :9], masks[:, 21:] = 0, 0
    # Looked at closely everywhere, because a rater who rated everywhere is named.
    everywhere = staple(masks, rated=np.ones(masks.shape, bool))
    found = staple(masks)
    np.testing.assert_allclose(found.probability, everywhere.probability, rtol=1e-12)
    np.testing.assert_allclose(found.sensitivity, everywhere.sensitivity, rtol=1e-12)


def simpleitk(masks):
    sitk = pytest.importorskip("SimpleITK")
    oracle = sitk.STAPLEImageFilter()
    oracle.SetForegroundValue(1)
    found = sitk.GetArrayFromImage(oracle.Execute([sitk.GetImageFromArray(m) for m in masks]))
    return found, oracle.GetSensitivity(), oracle.GetSpecificity(), oracle.GetElapsedIterations()


def equal_simpleitk(masks):
    theirs, sensitivity, specificity, iterations = simpleitk(masks)
    found = staple(masks)
    np.testing.assert_allclose(found.probability[1], theirs, atol=1e-6)
    np.testing.assert_allclose(found.sensitivity[:, 1], sensitivity, atol=1e-6)
    np.testing.assert_allclose(found.specificity[:, 1], specificity, atol=1e-6)
    assert found.iterations == iterations + 1  # they count from 0


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(3))
def test_simpleitk(seed):
    pytest.importorskip("SimpleITK")
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(40, 50)), 4)
    masks = np.stack([field + 0.02 * rng.normal(size=field.shape) > 0.02 * k for k in range(4)]).astype(np.uint8)
    equal_simpleitk(masks)


@pytest.mark.oracle
@settings(max_examples=30)
@given(hnp.arrays(np.uint8, (6, 8), elements=st.integers(0, 1)), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_simpleitk_on_any_masks(truth, number, seed):
    rng = np.random.default_rng(seed)
    masks = np.where(rng.random((number, *truth.shape)) < 0.15, 1 - truth, truth).astype(np.uint8)
    # All empty or all full they give no number at all; where raters contradict each other throughout neither ends.
    if 0 < masks.mean() < 1 and simpleitk(masks)[3] < 5000:
        equal_simpleitk(masks)
