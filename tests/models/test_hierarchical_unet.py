"""The hierarchy of latents against a slow and plain one, and what it says of two raters who disagree."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from probseg.batch import Batch, Example, collate
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.labels import LabelSet
from probseg.models import HierarchicalUNet, RandomRater
from probseg.models.bounds import EvidenceBound, Geco, ImportanceWeightedBound
from probseg.models.mask_channels import mask_channels
from probseg.networks import UNet
from probseg.networks.divergence import at_noise
from probseg.records import DatasetInfo

LATENTS = (2, 3)


def build(info, dimensions: int = 2, **kwargs) -> HierarchicalUNet:
    torch.manual_seed(0)
    settings = {"latents": LATENTS, "widths": (6, 5), "encoder_channels": (4, 6), **kwargs}
    model = HierarchicalUNet(UNet(1, 3, (4, 8), dimensions), **settings).eval()
    for name, value in model.named_parameters():
        if "prior" in name or "posterior" in name:
            torch.nn.init.normal_(value, std=0.3)
    model.bind(info)
    return model


def one(batch: Batch, k: int) -> Batch:
    parts = {name: getattr(batch, name)[k : k + 1] for name in ("image", "masks", "rated", "rater", "index")}
    return dataclasses.replace(batch, **parts, case_ids=("x",), sites=("",))


def rater(batch: Batch, k: int) -> Batch:
    return dataclasses.replace(batch, **{n: getattr(batch, n)[:, k : k + 1] for n in ("masks", "rated", "rater")})


def log_likelihood(model: HierarchicalUNet, logits: torch.Tensor, batch: Batch, b: int, r: int) -> torch.Tensor:
    """Of one mask under logits ``(classes, *space)``, by the total probability of each voxel's admissible classes."""
    admissible = model.admissible[batch.masks[b, r].long()].movedim(-1, 0)
    return (logits.softmax(0) * admissible).sum(0).log()[batch.rated[b, r]].sum()


def present(batch: Batch, b: int) -> list[int]:
    return [r for r in range(batch.masks.shape[1]) if batch.rated[b, r].any()]


def answer(model: HierarchicalUNet, pyramid: list[torch.Tensor], held: torch.Tensor, space) -> torch.Tensor:
    """The network's logits and, voxel by voxel, the channel of its position that the finest rung gives for it."""
    logits = model.unet.head(pyramid[-1], space).clone()
    change = model.ladder.to_answer(held)
    for voxel in torch.cartesian_prod(*(torch.arange(n) for n in space)).tolist():
        place, within = tuple(n // 2 for n in voxel), 0
        for n in voxel:
            within = 2 * within + n % 2
        for c in range(3):
            logits[(slice(None), c, *voxel)] += change[(slice(None), c * 2 ** len(space) + within, *place)]
    return logits


def slow_bound(model: HierarchicalUNet, batch: Batch, noise: list[torch.Tensor]) -> tuple[float, float]:
    """Reconstruction and KL, one image and one rater at a time; ``noise`` of each rung ``(batch, masks, latent)``."""
    target = model.target(batch, 3)
    reconstruction = kl = 0.0
    for b in range(len(batch)):
        image, raters = batch.image[b : b + 1], present(batch, b)
        for r in raters:
            channels = mask_channels(target, model.admissible)[b : b + 1, r]
            seen = model.encoder(torch.cat([image, channels], dim=1))[:, None]
            found = []

            def choose(rung, visible, prior, b=b, r=r, seen=seen, found=found):
                posterior = model.ladder.posterior(rung, visible, prior, seen)
                found.append(kl_divergence(posterior, prior).sum())
                return at_noise(posterior, noise[rung][b, r])

            pyramid = model.unet.pyramid(image)
            logits = answer(model, pyramid, model.ladder(pyramid, choose)[-1][:, 0], tuple(image.shape[2:]))[0]
            share = 1 / len(raters) / len(batch)
            reconstruction -= share * log_likelihood(model, logits, batch, b, r).item()
            kl += share * sum(found).item()
    return reconstruction, kl


@torch.no_grad()
@pytest.mark.parametrize("space", ["batch", "volumes"])
def test_the_bound_equals_a_slow_one(info, space, request):
    batch = request.getfixturevalue(space)
    model = build(info, 2 if space == "batch" else 3)
    torch.manual_seed(5)
    terms = model.loss(batch)
    torch.manual_seed(5)
    reconstruction, kl = slow_bound(model, batch, [torch.randn(2, 3, n) for n in LATENTS])
    assert terms["reconstruction"].item() == pytest.approx(reconstruction, rel=1e-4)
    assert terms["kl"].item() == pytest.approx(kl, rel=1e-4)
    assert terms["loss"].item() == pytest.approx(reconstruction + kl, rel=1e-4)
    assert kl > 0.1


@torch.no_grad()
def test_draws_of_the_prior_are_held_to_masks_as_a_mixture_and_by_their_mean(info, batch):
    model = build(info, prior_weight=2.0, mixture_weight=3.0, prior_samples=4)
    torch.manual_seed(5)
    terms = model.loss(batch)
    torch.manual_seed(5)
    own, noise = [], []
    for n in LATENTS:
        own.append(torch.randn(2, 3, n))
        noise.append(torch.randn(2, 4, n))
    reconstruction, kl = slow_bound(model, batch, own)
    pyramid = model.unet.pyramid(batch.image)
    held = model.ladder(pyramid, lambda rung, _, prior: at_noise(prior, noise[rung]))
    mixture = of_mean = 0.0
    for b in range(2):
        logits = [answer(model, pyramid, held[-1][:, k], (16, 12))[b] for k in range(4)]
        mean = torch.stack([x.softmax(0) for x in logits]).mean(0).log()
        raters = present(batch, b)
        for r in raters:
            each = torch.stack([log_likelihood(model, x, batch, b, r) for x in logits])
            mixture -= (each.logsumexp(0) - math.log(4)).item() / len(raters) / 2
            of_mean -= log_likelihood(model, mean, batch, b, r).item() / len(raters) / 2
    assert terms["prior"].item() == pytest.approx(of_mean, rel=1e-4)
    assert terms["mixture"].item() == pytest.approx(mixture, rel=1e-4)
    assert terms["loss"].item() == pytest.approx(reconstruction + kl + 2 * of_mean + 3 * mixture, rel=1e-4)


@torch.no_grad()
def test_each_scale_has_a_weight_of_its_own(info, batch):
    kls = []
    for betas in (None, (1.0, 0.0), (0.0, 1.0), (2.0, 0.5)):
        model = build(info, betas=betas)
        torch.manual_seed(5)
        kls.append(model.loss(batch)["kl"].item())
    both, coarse, fine, weighed = kls
    assert min(coarse, fine) > 0.05
    assert both == pytest.approx(coarse + fine, rel=1e-5)
    assert weighed == pytest.approx(2 * coarse + 0.5 * fine, rel=1e-5)


@torch.no_grad()
def test_deep_supervision_by_hand(info):
    # Heads of weight 0 say 1/3 of every class. The finest rung stands for 2 x 2 pixels, the coarser one for 4 x 4, of
    # which 16 x 12 has 4 x 3, each counting 16: log 3 a pixel and, at half the weight, 96 log 3.
    model = build(info, deep_supervision=0.7)
    for parameter in model.deep_heads.parameters():
        torch.nn.init.zeros_(parameter)
    everywhere = Example(
        torch.rand(1, 16, 12),
        torch.randint(0, 3, (2, 16, 12)).to(torch.uint8),
        torch.ones(2, 16, 12, dtype=torch.bool),
        *(0, 0, "a", "", torch.ones(2)),
    )
    terms = model.loss(collate([everywhere]))
    assert terms["deep"].item() == pytest.approx(96 * math.log(3), rel=1e-5)
    whole = terms["reconstruction"] + terms["kl"] + 0.7 * terms["deep"]
    assert terms["loss"].item() == pytest.approx(whole.item(), rel=1e-6)


@torch.no_grad()
def test_a_scale_knows_those_above_it_and_no_others(info, batch):
    model = build(info)
    pyramid = model.unet.pyramid(batch.image)

    def priors(coarse: float, fine: float) -> list[torch.Tensor]:
        found = []

        def choose(rung, visible, prior):
            found.append(prior.base_dist.loc)
            return torch.full((2, 1, LATENTS[rung]), (coarse, fine)[rung])

        model.ladder(pyramid, choose)
        return found

    (first, second), (same, moved), (_, unmoved) = priors(0, 0), priors(2, 0), priors(0, 2)
    assert torch.equal(first, same)
    assert (second - moved).abs().max() > 1e-3
    assert torch.equal(second, unmoved)


@torch.no_grad()
def test_readings_follow_the_prior(info):
    model = build(info)
    image = torch.rand(1, 1, 16, 12, generator=torch.Generator().manual_seed(0))
    draws = Draws(3, seed=4)
    got = model(image, draws).logits
    pyramid = model.unet.pyramid(image)
    for k in range(3):
        coarse, fine = draws.noise(5)[k].split(LATENTS)
        held = model.ladder(pyramid, lambda r, _, p, z=(coarse, fine): p.base_dist.loc + p.base_dist.scale * z[r])
        torch.testing.assert_close(got[0, k], answer(model, pyramid, held[-1][:, 0], (16, 12)))


@torch.no_grad()
def test_the_loss_is_a_mean_over_images_and_over_raters(info, batch, monkeypatch):
    model = build(info)
    monkeypatch.setattr(Normal, "rsample", lambda self, shape=(): self.loc.expand(*shape, *self.loc.shape))
    images = [model.loss(one(batch, k)) for k in range(2)]
    raters = [model.loss(rater(one(batch, 1), k)) for k in range(3)]
    for name in ("reconstruction", "kl", "loss"):
        mean = sum(t[name].item() for t in images) / 2
        assert model.loss(batch)[name].item() == pytest.approx(mean, rel=1e-5)
        assert images[1][name].item() == pytest.approx(sum(t[name].item() for t in raters) / 3, rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("training", [False, True])
def test_an_absent_rater_is_a_dropped_one(info, batch, monkeypatch, training):
    model = build(info).train(training)
    monkeypatch.setattr(Normal, "rsample", lambda self, shape=(): self.loc.expand(*shape, *self.loc.shape))
    padded = dataclasses.replace(
        batch,
        masks=torch.cat([batch.masks, torch.ones_like(batch.masks[:, :1])], dim=1),
        rated=torch.cat([batch.rated, torch.zeros_like(batch.rated[:, :1])], dim=1),
        rater=torch.cat([batch.rater, batch.rater[:, :1]], dim=1),
    )
    assert model.loss(padded)["loss"].item() == pytest.approx(model.loss(batch)["loss"].item(), rel=1e-6)


@pytest.mark.parametrize(
    ("bound", "samples"), [(EvidenceBound(0.5, free_bits=0.1), 1), (ImportanceWeightedBound(3), 3), (Geco(400.0), 1)]
)
def test_every_bound_fits(info, batch, bound, samples):
    model = build(info, bound=bound, mixture_weight=0.5, prior_samples=2, deep_supervision=0.1)
    readings = []
    model.ladder.register_forward_hook(lambda module, args, output: readings.append(output[-1].shape[1]))
    model.loss(batch)["loss"].backward()
    assert readings == [3 * samples + 2]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@torch.no_grad()
def test_more_samples_tighten_the_importance_weighted_bound(info, batch):
    losses = []
    for samples in (1, 30):
        model = build(info, bound=ImportanceWeightedBound(samples))
        torch.manual_seed(1)
        losses.append(sum(model.loss(batch)["loss"].item() for _ in range(20)) / 20)
    assert losses[1] < losses[0] - 0.1


@torch.no_grad()
def test_a_posterior_equal_to_the_prior_has_no_active_unit(info, batch):
    model = build(info)
    for rung in model.ladder.rungs:
        torch.nn.init.zeros_(rung.posterior.weight)
        torch.nn.init.zeros_(rung.posterior.bias)
    terms = model.loss(batch)
    assert terms["kl"].item() == 0
    assert terms["active_units"].item() == 0
    model.ladder.rungs[1].posterior.bias[1] = 1.0  # one mean moves by one standard deviation of its prior: KL 1/2
    terms = model.loss(batch)
    assert terms["kl"].item() == pytest.approx(0.5)
    assert terms["active_units"].item() == 1


def test_one_mask_an_image(info, batch):
    model = build(info, target=RandomRater())
    seen = []
    model.encoder.register_forward_hook(lambda module, args, output: seen.append(args[0].shape))
    model.loss(batch)
    assert seen == [(2, 1 + 3, 16, 12)]


def test_two_raters_become_two_kinds_of_readings():
    """One rater draws the whole square and one a quarter of it; after a short training readings are of both kinds."""
    info = DatasetInfo("two", 2, LabelSet.binary("lesion"), (0.0, 1.0))
    torch.manual_seed(0)
    model = HierarchicalUNet(UNet(1, 2, (8, 8)), latents=(2, 2), widths=(8, 8), encoder_channels=(8, 8))
    model.bind(info)
    image, masks = torch.zeros(1, 16, 16), torch.zeros(2, 16, 16, dtype=torch.uint8)
    image[:, 4:12, 4:12] = 1
    masks[0, 4:12, 4:12] = 1
    masks[1, 4:8, 4:8] = 1
    rated = torch.ones_like(masks, dtype=torch.bool)
    batch = collate([Example(image, masks, rated, k, k, str(k), "", torch.ones(2)) for k in range(4)])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        model.loss(batch)["loss"].backward()
        optimizer.step()
    readings = model.eval()(image[None], Draws(200)).readings()[:, 0]
    error = torch.stack([(readings != mask).flatten(1).float().mean(dim=1) for mask in masks])  # (raters, draws)
    nearest = error.argmin(dim=0).float().mean().item()
    assert error.amin(dim=0).mean() < 0.02, "each reading is what one of them drew"
    assert 0.25 < nearest < 0.75, "and both are drawn"


def test_wrong_settings(info):
    with pytest.raises(ProbsegError, match="pyramid and head"):
        HierarchicalUNet(torch.nn.Conv2d(1, 3, 1))
    wrong = (
        *(
            {"beta": -1.0},
            {"prior_weight": -1.0},
            {"mixture_weight": -1.0},
            {"prior_samples": 0},
            *({"deep_supervision": -1.0}, {"betas": (1.0,)}, {"betas": (1.0, -1.0)}),
            {"betas": (1.0, 1.0), "bound": ImportanceWeightedBound()},
        ),
        *({"latents": ()}, {"latents": (0,)}, {"latents": (1, 1, 1)}, {"widths": (4,)}, {"widths": (4, 4, 4)}),
        {"beta": 0.5, "bound": EvidenceBound()},
    )
    for settings in wrong:
        with pytest.raises(ProbsegError, match="E_SCHEMA"):
            build(info, **settings)
