import numpy as np
import pytest

from probseg.analysis.staple import staple
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


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(3))
def test_simpleitk(seed):
    sitk = pytest.importorskip("SimpleITK")
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(40, 50)), 4)
    masks = np.stack([field + 0.02 * rng.normal(size=field.shape) > 0.02 * k for k in range(4)]).astype(np.uint8)
    oracle = sitk.STAPLEImageFilter()
    oracle.SetForegroundValue(1)
    theirs = sitk.GetArrayFromImage(oracle.Execute([sitk.GetImageFromArray(m) for m in masks]))
    found = staple(masks)
    np.testing.assert_allclose(found.probability[1], theirs, atol=1e-4)
    np.testing.assert_allclose(found.sensitivity[:, 1], oracle.GetSensitivity(), atol=1e-4)
    np.testing.assert_allclose(found.specificity[:, 1], oracle.GetSpecificity(), atol=1e-4)
