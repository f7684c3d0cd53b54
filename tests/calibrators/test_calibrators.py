"""What every calibrator keeps, and what each of them mends."""

from __future__ import annotations

import pytest
import torch

from probseg.calibrators import (
    Calibrator,
    ClassTemperature,
    Isotonic,
    LocalTemperature,
    Sizes,
    Temperature,
    VectorScaling,
    marginal_nll,
)
from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError

ALL = (Temperature, ClassTemperature, VectorScaling, LocalTemperature, Isotonic)
KEEP_READINGS = (Temperature, ClassTemperature, LocalTemperature)


def prepared(kind: type[Calibrator], classes: int = 2, dimensions: int = 2) -> Calibrator:
    calibrator = kind()
    calibrator.prepare(Sizes(classes, 1, dimensions))
    return calibrator.eval()


def random_distribution(classes: int = 2, seed: int = 0) -> SegmentationDistribution:
    logits = 3 * torch.randn(2, 3, 2, classes, 8, 9, generator=torch.Generator().manual_seed(seed))
    return SegmentationDistribution(logits)


def nll(calibrator: Calibrator | None, sample) -> float:
    with torch.no_grad():
        changed = sample.distribution if calibrator is None else calibrator(sample.distribution, sample.image)
        return float(marginal_nll(changed, sample))


def fitted(kind: type[Calibrator], sample, classes: int = 2) -> Calibrator:
    calibrator = prepared(kind, classes)
    calibrator.fit(sample)
    return calibrator


@pytest.mark.parametrize("kind", ALL)
def test_nothing_changes_before_the_fit(kind):
    d = random_distribution()
    with torch.no_grad():
        after = prepared(kind)(d, torch.rand(2, 1, 8, 9))
    assert after.logits.shape == d.logits.shape
    torch.testing.assert_close(after.probs, d.probs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ALL)
def test_a_perfect_model_stays_as_it_is(kind, sampled):
    sample = sampled(lambda z: z, spatial=kind.spatial)
    calibrator = fitted(kind, sample)
    with torch.no_grad():
        after = calibrator(sample.distribution, sample.image)
    voted = sample.votes.sum(dim=1) > 0
    gap = (after.mean - sample.distribution.mean).abs().amax(dim=1)[voted]
    assert float(gap.mean()) < 0.015
    assert nll(calibrator, sample) <= nll(None, sample)


@pytest.mark.parametrize("kind", ALL)
def test_one_that_is_three_times_too_sure_becomes_nearly_as_good_as_the_truth(kind, sampled):
    true = sampled(lambda z: z, spatial=kind.spatial)
    sure = sampled(lambda z: 3 * z, spatial=kind.spatial)
    best, before, after = nll(None, true), nll(None, sure), nll(fitted(kind, sure), sure)
    assert before > best + 0.05
    assert after - best < 0.04 * (before - best)


@pytest.mark.parametrize("factor", [0.5, 2.5])
def test_a_known_temperature_is_found(factor, sampled):
    assert fitted(Temperature, sampled(lambda z: factor * z)).temperature == pytest.approx(factor, rel=0.03)


def test_a_temperature_for_each_class_is_found(sampled):
    """Where a draw says foreground, its logits are doubled."""

    def change(z):
        return torch.where(z.argmax(dim=1, keepdim=True) == 1, 2 * z, z)

    found = fitted(ClassTemperature, sampled(change, draws=1)).temperatures
    assert found == pytest.approx([1.0, 2.0], rel=0.06)


def test_vector_scaling_finds_factors_and_offsets(sampled):
    """Three classes whose centred logits were halved and moved."""
    offsets = torch.tensor([1.0, -0.5, 0.3]).reshape(1, 3, 1, 1)

    def change(z):
        return (z - z.mean(dim=1, keepdim=True)) / 2 + offsets + 7  # what is added to all means nothing

    calibrator = fitted(VectorScaling, sampled(change, classes=3, draws=1), classes=3)
    assert calibrator.weight.tolist() == pytest.approx([2, 2, 2], rel=0.08)
    moved = calibrator.weight.detach() * (offsets - offsets.mean()).flatten() + calibrator.bias.detach()
    assert (moved - moved.mean()).tolist() == pytest.approx([0, 0, 0], abs=0.05)


def test_local_temperature_tells_places_apart(sampled):
    """One half of the image is too sure by 3; a single temperature has to be wrong in both."""

    def change(z):
        too_sure = z.clone()
        too_sure[..., :16] *= 3
        return too_sure

    voxels = sampled(change)
    patches = sampled(change, spatial=True)
    assert patches.distribution.logits.shape[4:] == (48, 48)
    one = fitted(Temperature, voxels)
    local = fitted(LocalTemperature, patches)
    assert nll(local, patches) < nll(one, patches) - 0.01


@pytest.mark.parametrize("kind", KEEP_READINGS)
def test_temperatures_leave_every_reading(kind):
    calibrator, d = prepared(kind, classes=3), random_distribution(3)
    with torch.no_grad():
        for parameter in calibrator.parameters():
            parameter += 0.4 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        after = calibrator(d, torch.rand(2, 1, 8, 9))
    assert torch.equal(after.readings(), d.readings())
    assert not torch.allclose(after.mean, d.mean, atol=0.01)


@pytest.mark.parametrize("kind", ALL)
def test_the_laws_of_the_distribution_hold_afterwards(kind, sampled):
    sample = sampled(lambda z: 3 * z, spatial=kind.spatial)
    calibrator, d = fitted(kind, sample), random_distribution()
    with torch.no_grad():
        after = calibrator(d, torch.rand(2, 1, 8, 9))
    torch.testing.assert_close(after.entropy, after.epistemic + after.ambiguity + after.noise)
    torch.testing.assert_close(after.mean.sum(dim=1), torch.ones(2, 8, 9))
    # the order of draws at a voxel is kept
    before, now = (x.logits[..., 1, :, :] - x.logits[..., 0, :, :] for x in (d, after))
    order = before.flatten(0, 1).argsort(dim=0)
    assert bool((now.flatten(0, 1).gather(0, order).diff(dim=0) >= -1e-4).all())


def test_isotonic_makes_the_mean_what_the_curve_says(sampled):
    calibrator = fitted(Isotonic, sampled(lambda z: 3 * z))
    d = random_distribution(seed=3)
    after = calibrator(d, torch.rand(2, 1, 8, 9))
    torch.testing.assert_close(after.mean[:, 1].double(), calibrator.curve(d.mean[:, 1]), atol=1e-5, rtol=1e-4)
    p = torch.linspace(0, 1, 500)
    assert bool((calibrator.curve(p).diff() >= 0).all())
    assert 0 < float(calibrator.curve(torch.zeros(1))) < float(calibrator.curve(torch.ones(1))) < 1


@pytest.mark.oracle
def test_isotonic_is_scikit_learn(sampled):
    isotonic = pytest.importorskip("sklearn.isotonic")
    sample = sampled(lambda z: 3 * z, cases=1, space=(6, 7))
    calibrator = fitted(Isotonic, sample)
    p = sample.distribution.mean[:, 1].flatten().double()
    votes = sample.votes.flatten(2)[0].double()
    share, weight = votes[1] / votes.sum(dim=0), votes.sum(dim=0)
    oracle = isotonic.IsotonicRegression().fit(p, share, weight).predict(p)
    # ours goes through the middle of each block, where theirs has the block's level
    for level in set(oracle.tolist()):
        block = torch.from_numpy(oracle == level)
        middle = (p[block] * weight[block]).sum() / weight[block].sum()
        least = 1 / (sample.trials + 2)
        assert float(calibrator.curve(middle[None])) == pytest.approx(min(max(level, least), 1 - least), abs=1e-6)


def test_isotonic_is_for_two_classes():
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*two classes, but the model has 3"):
        prepared(Isotonic, classes=3)


def test_three_dimensions():
    calibrator = prepared(LocalTemperature, dimensions=3)
    d = SegmentationDistribution(torch.randn(1, 2, 1, 2, 4, 5, 6))
    with torch.no_grad():
        assert calibrator(d, torch.rand(1, 1, 4, 5, 6)).logits.shape == d.logits.shape


def test_settings_that_make_no_sense():
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*width.*0"):
        LocalTemperature(width=0)
