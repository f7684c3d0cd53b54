"""The evidence lower bound against a slow and plain one, and what keeps training honest."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch.distributions import Distribution, Normal, kl_divergence

from probseg.batch import Batch
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.models import ProbabilisticUNet, RandomRater
from probseg.models.bounds import EvidenceBound, Geco, ImportanceWeightedBound
from probseg.networks import UNet
from probseg.networks.divergence import at_noise


def build(info, dimensions: int = 2, **kwargs) -> ProbabilisticUNet:
    torch.manual_seed(0)
    settings = {"encoder_channels": (4, 8), "hidden": 4, "latent": 3, **kwargs}
    model = ProbabilisticUNet(UNet(1, 3, (4, 8), dimensions), **settings).eval()
    for name, value in model.named_parameters():
        if "moments" in name:
            torch.nn.init.normal_(value, std=0.5)
    model.bind(info)
    return model


def rater(batch: Batch, k: int) -> Batch:
    return dataclasses.replace(batch, masks=batch.masks[:, k : k + 1], rated=batch.rated[:, k : k + 1])


def mask_channels(model: ProbabilisticUNet, labels: torch.Tensor, rated: torch.Tensor) -> torch.Tensor:
    """Voxel by voxel what the posterior sees: uniform over the admissible classes, or over all; less 1/2."""
    out = torch.empty(3, *labels.shape)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in labels.shape)).tolist():
        allowed = model.admissible[labels[tuple(place)].long()] if rated[tuple(place)] else torch.ones(3)
        out[(slice(None), *place)] = allowed.float() / allowed.sum() - 0.5
    return out


def slow_elbo(model: ProbabilisticUNet, batch: Batch) -> tuple[float, float]:
    """Reconstruction and KL, one image and one rater at a time, with the noise that `loss` draws after this seed."""
    raters, size = batch.masks.shape[1], len(batch)
    torch.manual_seed(5)
    pairs = [(r, b) for r in range(raters) for b in range(size) if batch.rated[b, r].any()]
    noise = dict(zip(pairs, torch.randn(len(pairs), model.latent), strict=True))
    reconstruction = kl = 0.0
    for b in range(size):
        present = [r for r in range(raters) if batch.rated[b, r].any()]
        image = batch.image[b : b + 1]
        prior = model.prior(image).base_dist
        features = model.unet.features(image)
        for r in present:
            seen = mask_channels(model, batch.masks[b, r], batch.rated[b, r])
            posterior = model.posterior(torch.cat([image, seen[None]], dim=1)).base_dist
            z = posterior.loc + posterior.scale * noise[r, b]
            logits = model.unet.head(model.combiner(features, z[None]), tuple(image.shape[2:]))
            probs = logits.softmax(1)[0]
            admissible = model.admissible[batch.masks[b, r].long()].movedim(-1, 0)
            log_p = (probs * admissible).sum(0).log()
            reconstruction -= log_p[batch.rated[b, r]].sum().item() / len(present) / size
            kl += kl_divergence(posterior, prior).sum().item() / len(present) / size
    return reconstruction, kl


@pytest.mark.parametrize("space", ["batch", "volumes"])
def test_the_bound_equals_a_slow_one(info, space, request):
    batch = request.getfixturevalue(space)
    model = build(info, 2 if space == "batch" else 3)
    torch.manual_seed(5)
    terms = model.loss(batch)
    reconstruction, kl = slow_elbo(model, batch)
    assert terms["reconstruction"].item() == pytest.approx(reconstruction, rel=1e-4)
    assert terms["kl"].item() == pytest.approx(kl, rel=1e-4)
    assert terms["loss"].item() == pytest.approx(reconstruction + kl, rel=1e-4)
    assert kl > 0.1


def test_kl_by_its_formula():
    q, p = Normal(torch.tensor(1.0), torch.tensor(0.5)), Normal(torch.tensor(-1.0), torch.tensor(2.0))
    # log(2 / 0.5) + (0.25 + 4) / 8 - 1/2
    assert kl_divergence(q, p).item() == pytest.approx(1.386294 + 0.53125 - 0.5, rel=1e-6)


def test_beta_weighs_the_kl(info, batch):
    for beta in (0.0, 0.5, 1.0):
        torch.manual_seed(5)
        terms = build(info, beta=beta).loss(batch)
        assert terms["loss"].item() == pytest.approx((terms["reconstruction"] + beta * terms["kl"]).item(), rel=1e-6)


def test_the_prior_term_is_the_cross_entropy_of_the_mean_over_prior_samples(info, batch):
    model = build(info, prior_weight=2.0, prior_samples=4)
    torch.manual_seed(5)
    terms = model.loss(batch)
    raters, size = batch.masks.shape[1], len(batch)
    torch.manual_seed(5)
    torch.randn(int(batch.rated.flatten(2).any(dim=2).sum()), model.latent)  # the posterior's
    prior = model.prior(batch.image)
    z = prior.base_dist.loc + prior.base_dist.scale * torch.randn(4, size, model.latent)
    features = model.unet.features(batch.image)
    mean = torch.stack(
        [model.unet.head(model.combiner(features, z[k : k + 1]), (16, 12)).softmax(1) for k in range(4)]
    ).mean(0)
    expected = 0.0
    for b in range(size):
        present = [r for r in range(raters) if batch.rated[b, r].any()]
        for r in present:
            admissible = model.admissible[batch.masks[b, r].long()].movedim(-1, 0)
            log_p = (mean[b] * admissible).sum(0).log()
            expected -= log_p[batch.rated[b, r]].sum().item() / len(present) / size
    assert terms["prior"].item() == pytest.approx(expected, rel=1e-4)
    whole = terms["reconstruction"] + terms["kl"] + 2 * terms["prior"]
    assert terms["loss"].item() == pytest.approx(whole.item(), rel=1e-6)


def test_the_loss_of_all_raters_is_the_mean_over_single_ones(info, batch, monkeypatch):
    model = build(info)
    monkeypatch.setattr(Normal, "rsample", lambda self, shape=(): self.loc.expand(*shape, *self.loc.shape))
    second = dataclasses.replace(
        batch, image=batch.image[1:], masks=batch.masks[1:], rated=batch.rated[1:], case_ids=("1",)
    )
    whole = model.loss(second)
    each = [model.loss(rater(second, k)) for k in range(3)]
    for name in ("reconstruction", "kl", "loss"):
        assert whole[name].item() == pytest.approx(sum(t[name].item() for t in each) / 3, rel=1e-5)
    assert model.loss(second)["loss"].item() != pytest.approx(each[0]["loss"].item(), rel=1e-3)


def test_the_loss_is_a_mean_over_images_whatever_the_batch(info, batch, monkeypatch):
    model = build(info)
    monkeypatch.setattr(Normal, "rsample", lambda self, shape=(): self.loc.expand(*shape, *self.loc.shape))
    each = [
        model.loss(
            dataclasses.replace(
                batch,
                image=batch.image[k : k + 1],
                masks=batch.masks[k : k + 1],
                rated=batch.rated[k : k + 1],
                case_ids=("x",),
            )
        )["loss"].item()
        for k in range(2)
    ]
    assert model.loss(batch)["loss"].item() == pytest.approx(sum(each) / 2, rel=1e-5)


@pytest.mark.parametrize("training", [False, True])  # batch norm of the posterior must not see who is absent
def test_an_absent_rater_is_a_dropped_one(info, batch, monkeypatch, training):
    model = build(info).train(training)
    monkeypatch.setattr(Normal, "rsample", lambda self, shape=(): self.loc.expand(*shape, *self.loc.shape))
    padded = dataclasses.replace(
        batch,
        masks=torch.cat([batch.masks, torch.ones_like(batch.masks[:, :1])], dim=1),
        rated=torch.cat([batch.rated, torch.zeros_like(batch.rated[:, :1])], dim=1),
    )
    assert model.loss(padded)["loss"].item() == pytest.approx(model.loss(batch)["loss"].item(), rel=1e-6)


def test_the_log_variance_is_clamped(info, batch):
    model = build(info)
    for encoder in (model.prior, model.posterior):
        torch.nn.init.constant_(encoder.moments.bias, 1e4)
        torch.nn.init.zeros_(encoder.moments.weight)
    terms = model.loss(batch)
    assert torch.isfinite(terms["loss"])
    assert model.prior(batch.image).base_dist.scale.max().item() == pytest.approx(2.718281828**2)
    torch.nn.init.constant_(model.prior.moments.bias, -1e4)
    assert model.prior(batch.image).base_dist.scale.min().item() == pytest.approx(2.718281828**-4)


def test_a_posterior_equal_to_the_prior_has_no_active_unit(info, batch):
    model = build(info)
    for encoder in (model.prior, model.posterior):
        torch.nn.init.zeros_(encoder.moments.weight)
        torch.nn.init.zeros_(encoder.moments.bias)
    terms = model.loss(batch)
    assert terms["kl"].item() == 0
    assert terms["active_units"].item() == 0
    with torch.no_grad():
        model.posterior.moments.bias[1] = 1.0  # one mean moves: KL 1/2 a unit
    terms = model.loss(batch)
    assert terms["kl"].item() == pytest.approx(0.5)
    assert terms["active_units"].item() == 1


def test_readings_follow_the_prior(info):
    model = build(info)
    image = torch.rand(1, 1, 16, 12, generator=torch.Generator().manual_seed(0))
    draws = Draws(3, seed=4)
    prior = model.prior(image).base_dist
    features = model.unet.features(image)
    got = model(image, draws).logits
    for k in range(3):
        z = prior.loc + prior.scale * draws.noise(3)[k]
        torch.testing.assert_close(got[0, k], model.unet.head(model.combiner(features, z[None]), (16, 12)))


def test_kohls_random_rater_is_one_mask_an_image(info, batch):
    model = build(info, target=RandomRater())
    seen = []
    model.posterior.register_forward_hook(lambda module, args, output: seen.append(args[0].shape))
    model.loss(batch)
    assert seen == [(2, 1 + 3, 16, 12)]


def test_wrong_settings(info):
    with pytest.raises(ProbsegError, match="features and head"):
        ProbabilisticUNet(torch.nn.Conv2d(1, 3, 1))
    wrongs = ({"latent": 0}, {"beta": -1.0}, {"prior_weight": -1.0}, {"prior_samples": 0}, {"covariance": "none"})
    for wrong in (*wrongs, {"bound": EvidenceBound(), "beta": 2.0}):
        with pytest.raises(ProbsegError, match="E_SCHEMA"):
            build(info, **wrong)
    with pytest.raises(ProbsegError, match=r"E_CLASS_MISMATCH.*gives 2 classes but the label set has 3"):
        ProbabilisticUNet(UNet(1, 2, (4, 8))).bind(info)


VARIANTS = {
    "full": {"covariance": "full"},
    "mean_max": {"pooling": "mean_max"},
    "free_bits": {"bound": EvidenceBound(free_bits=0.3)},
    "geco": {"bound": Geco(50.0)},
    "importance": {"bound": ImportanceWeightedBound(3), "covariance": "full"},
}


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "free_bits"])  # whose maximum is of the batch's mean
def test_every_bound_is_a_mean_over_images_whatever_the_batch(info, batch, variant):
    model = build(info, **VARIANTS[variant])
    constant_noise(model)
    each = [model.loss(image(batch, k))["loss"].item() for k in range(2)]
    assert model.loss(batch)["loss"].item() == pytest.approx(sum(each) / 2, rel=1e-4)
    assert each[0] != pytest.approx(each[1], rel=1e-3)


def test_full_covariance_has_the_bound_of_its_closed_form(info, batch):
    model = build(info, covariance="full")
    torch.manual_seed(5)
    terms = model.loss(batch)
    kl = 0.0
    for b in range(2):
        present = [r for r in range(3) if batch.rated[b, r].any()]
        prior = model.prior(batch.image[b : b + 1])
        for r in present:
            seen = mask_channels(model, batch.masks[b, r], batch.rated[b, r])
            posterior = model.posterior(torch.cat([batch.image[b : b + 1], seen[None]], dim=1))
            kl += kl_divergence(posterior, prior).item() / len(present) / 2
    assert terms["kl"].item() == pytest.approx(kl, rel=1e-4)
    assert terms["loss"].item() == pytest.approx((terms["reconstruction"] + terms["kl"]).item(), rel=1e-6)


def test_importance_weights_equal_a_slow_bound(info, batch):
    model = build(info, bound=ImportanceWeightedBound(4))
    constant_noise(model)
    loss = model.loss(batch)["loss"].item()
    noise, expected = fixed_noise(4), 0.0
    for b in range(2):
        present = [r for r in range(3) if batch.rated[b, r].any()]
        picture = batch.image[b : b + 1]
        prior, features = model.prior(picture), model.unet.features(picture)
        for r in present:
            seen = mask_channels(model, batch.masks[b, r], batch.rated[b, r])
            posterior = model.posterior(torch.cat([picture, seen[None]], dim=1))
            weights = []
            for k in range(4):
                z = posterior.base_dist.loc + posterior.base_dist.scale * noise[k]
                probs = model.unet.head(model.combiner(features, z[None]), (16, 12)).softmax(1)[0]
                admissible = model.admissible[batch.masks[b, r].long()].movedim(-1, 0)
                log_p = (probs * admissible).sum(0).log()[batch.rated[b, r]].sum()
                weights.append(log_p + prior.log_prob(z)[0] - posterior.log_prob(z)[0])
            expected -= (torch.stack(weights).double().logsumexp(0).item() - math.log(4)) / len(present) / 2
    assert loss == pytest.approx(expected, rel=1e-4)


def test_more_importance_samples_raise_the_bound(info, batch):
    losses = []
    for samples in (1, 20):
        model = build(info, bound=ImportanceWeightedBound(samples))
        torch.manual_seed(0)
        losses.append(sum(model.loss(batch)["loss"].item() for _ in range(20)) / 20)
    assert losses[1] < losses[0] - 0.01


def test_the_multiplier_of_geco_travels_in_the_checkpoint_and_drives_the_loss(info, batch):
    model = build(info, bound=Geco(1e-3, smoothing=0.0, speed=1.0)).train()
    for _ in range(3):
        terms = model.loss(batch)
    assert terms["multiplier"].item() == pytest.approx(2.718281828**3, rel=1e-4)
    other = build(info, bound=Geco(1e-3))
    other.load_state_dict(model.state_dict())
    assert other.bound.multiplier.item() == pytest.approx(terms["multiplier"].item())


def test_free_bits_leave_the_alarm_right(info, batch):
    model = build(info, bound=EvidenceBound(free_bits=0.5))
    for encoder in (model.prior, model.posterior):
        torch.nn.init.zeros_(encoder.moments.weight)
        torch.nn.init.zeros_(encoder.moments.bias)
    with torch.no_grad():
        model.posterior.moments.bias[0] = 0.9  # 0.4 nats, the same for every mask
    terms = model.loss(batch)
    assert terms["kl"].item() == pytest.approx(0.405, rel=1e-4)
    assert terms["active_units"].item() == 0
    assert terms["loss"].item() == pytest.approx(terms["reconstruction"].item() + 3 * 0.5, rel=1e-5)


def fixed_noise(samples: int) -> torch.Tensor:
    return torch.randn(samples, 1, 3, generator=torch.Generator().manual_seed(8))


def constant_noise(model: ProbabilisticUNet) -> None:
    """Each posterior has the same noise, so that a loss does not depend on who else is in the batch."""
    posterior = model.posterior.forward

    def forward(x: torch.Tensor) -> Distribution:
        gaussian = posterior(x)
        gaussian.rsample = lambda shape: at_noise(gaussian, fixed_noise(shape[0]))
        return gaussian

    model.posterior.forward = forward


def image(batch: Batch, k: int) -> Batch:
    return dataclasses.replace(
        batch, image=batch.image[k : k + 1], masks=batch.masks[k : k + 1], rated=batch.rated[k : k + 1], case_ids=("x",)
    )
