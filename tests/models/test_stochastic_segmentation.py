"""The stochastic segmentation network: its Gaussian, its objective and its readings."""

from __future__ import annotations

import math

import pytest
import torch

from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.models import IntensityRegion, StochasticSegmentation
from probseg.networks import LowRankHead, UNet


def model_of(rank: int = 3, **kwargs) -> StochasticSegmentation:
    torch.manual_seed(0)
    return StochasticSegmentation(UNet(1, 3, (4, 8)), rank=rank, **kwargs)


def test_readings_have_the_covariance_of_the_factors():
    """Over many draws the logits against background have covariance P P^T, by the paper's definition."""
    model = model_of(variance=1e-4).eval()
    image = torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        logits = model(image, Draws(20000)).logits[0, :, 0]  # (readings, classes, 8, 8)
        mean, deviation, factors = model._moments(image)
    against = (logits[:, 1:] - logits[:, :1]).flatten(1)
    wanted = factors[0].flatten(1).T @ factors[0].flatten(1)
    shrink = (1 + math.pi / 8 * deviation**2).sqrt().flatten()
    got = torch.cov(against.T) * shrink[:, None] * shrink[None]
    assert (got - wanted).abs().max() < 0.05 * wanted.abs().max()
    centre = (mean[0, 1:] - mean[0, :1]).flatten()
    assert (against.mean(dim=0) * shrink - centre).abs().max() < 0.05 * wanted.diagonal().max().sqrt()


def test_voxel_noise_is_averaged_over_within_a_reading():
    """The sigmoid of the shrunken logit is close to the mean sigmoid over the voxel's noise."""
    a, deviation = torch.linspace(-4, 4, 9), 1.5
    noise = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    exact = torch.sigmoid(a + deviation * noise).mean(dim=0)
    assert (torch.sigmoid(a / math.sqrt(1 + math.pi / 8 * deviation**2)) - exact).abs().max() < 0.02


def test_the_objective_is_the_log_of_the_mean_likelihood_over_samples(info, batch):
    """Recomputed slowly with the same random numbers: log of the mean over samples of the product over voxels."""
    model = model_of(samples=4).eval()
    model.bind(info)
    torch.manual_seed(5)
    got = model.loss(batch)["loss"].item()
    torch.manual_seed(5)
    mean, deviation, factors = model._moments(batch.image)
    z = torch.randn(4, len(batch), 3)
    eta = mean[:, 1:] - mean[:, :1] + torch.einsum("mbr,brchw->mbchw", z, factors)
    eta = eta + deviation * torch.randn_like(eta)
    probs = torch.cat([torch.zeros_like(eta[:, :, :1]), eta], dim=2).softmax(2).double()
    admissible = torch.from_numpy(info.labels.admissible).double()
    target = model.target(batch, 3)
    slow = 0.0
    for b in range(len(batch)):
        for r in range(target.labels.shape[1]):
            allowed = admissible[target.labels[b, r].long()].movedim(-1, 0)  # (classes, rows, columns)
            voxel = (probs[:, b] * allowed).sum(dim=1).log() * target.rated[b, r]
            product = torch.logsumexp(voxel.flatten(1).sum(dim=1), dim=0) - math.log(4)
            slow -= (product * target.share[b, r]).item() / len(batch)
    assert got == pytest.approx(slow, rel=1e-5)


def test_more_samples_never_loosen_the_bound_in_expectation(info, batch):
    """-log of a mean of M samples falls with M (Jensen), as in the importance-weighted bound."""
    losses = []
    for samples in (2, 32):
        model = model_of(samples=samples).eval()
        model.bind(info)
        torch.manual_seed(1)
        with torch.no_grad():
            losses.append(sum(model.loss(batch)["loss"].item() for _ in range(40)) / 40)
    assert losses[1] < losses[0]


def test_outside_the_region_all_readings_agree():
    model = model_of(region=IntensityRegion(0.5, 1.0)).eval()
    image = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        spread = model(image, Draws(8)).logits.std(dim=1)[0]  # (batch, classes, 8, 8)
    inside = (image >= 0.5).expand_as(spread[:, 1:])
    assert spread[:, 1:][~inside].abs().max() < 1e-6
    assert spread[:, 1:][inside].min() > 1e-6


def test_huge_logits_stay_finite(info, batch):
    """No matrix is factorised, so nothing falls back and nothing fails."""
    model = model_of().eval()
    model.bind(info)
    with torch.no_grad():
        model.covariance.parameters_of.weight.mul_(1e4)
    loss = model.loss(batch)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("fold", [1, 2])
def test_the_head_starts_with_the_variance_asked_for(dimensions: int, fold: int):
    network = UNet(1, 3, (4, 8), dimensions, fold=fold)
    head = LowRankHead(network, rank=2, variance=0.3)
    with torch.no_grad():
        head.parameters_of.weight.zero_()
        space = (9, 6, 7)[:dimensions]
        deviation, factors = head(network.features(torch.rand(2, 1, *space)), space)
    assert deviation.shape == (2, 2, *space)
    assert factors.shape == (2, 2, 2, *space)
    torch.testing.assert_close(deviation**2, torch.full_like(deviation, 0.3))


def test_the_mean_of_the_samples_can_be_trained_as_well(info, batch):
    """The further term is the cross entropy of the mean probabilities, recomputed with the same random numbers."""
    model = model_of(samples=4, mean_weight=0.5).eval()
    model.bind(info)
    torch.manual_seed(5)
    terms = model.loss(batch)
    torch.manual_seed(5)
    mean, deviation, factors = model._moments(batch.image)
    z = torch.randn(4, len(batch), 3)
    eta = mean[:, 1:] - mean[:, :1] + torch.einsum("mbr,brchw->mbchw", z, factors)
    eta = eta + deviation * torch.randn_like(eta)
    probs = torch.cat([torch.zeros_like(eta[:, :, :1]), eta], dim=2).softmax(2).mean(dim=0)
    target = model.target(batch, 3)
    allowed = torch.from_numpy(info.labels.admissible).float()[target.labels.long()].movedim(-1, 2)
    voxels = (probs.unsqueeze(1) * allowed).sum(dim=2).log() * target.rated
    slow = -(voxels.flatten(2).sum(dim=2) * target.share).sum(dim=1).mean()
    assert terms["mean"].item() == pytest.approx(slow.item(), rel=1e-5)
    assert terms["loss"].item() == pytest.approx((terms["masks"] + 0.5 * terms["mean"]).item(), rel=1e-6)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"samples": 1}, {"variance": 0.0}, {"mean_weight": -1.0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        model_of(**wrong)
    with pytest.raises(ProbsegError, match="features and head"):
        StochasticSegmentation(torch.nn.Conv2d(1, 2, 1))
    with pytest.raises(ProbsegError, match="low < high"):
        IntensityRegion(0.5, 0.5)


@pytest.mark.parametrize("fold", [1, 2])
def test_factors_of_a_padded_image_lie_on_its_pixels(fold: int):
    """An image that the network pads has the factors of the padded image, cut, and not shrunk to its size."""
    network = UNet(1, 3, (4, 8), fold=fold).eval()
    head = LowRankHead(network, rank=2)
    with torch.no_grad():
        features = network.features(torch.rand(1, 1, 9, 7))
        whole = tuple(n * fold for n in features.shape[2:])
        assert whole != (9, 7)
        for cut, padded in zip(head(features, (9, 7)), head(features, whole), strict=True):
            assert torch.equal(cut, padded[..., :9, :7])
