"""A style for each rater: learnt from that rater's masks, about a consensus, in a population that may be drawn from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from probseg.batch import Batch, Example, collate
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.labels import LabelSet
from probseg.models import MajorityVote, RandomRater, RaterConditioned
from probseg.networks import UNet
from probseg.records import DatasetInfo

THRESHOLDS = {"Ann": 0.3, "Ben": 0.5, "Cleo": 0.7}


def thresholds(absent: bool = False) -> Batch:
    """Noise, of which each rater draws what is above a threshold; Cleo rated half of the images if ``absent``."""
    generator = torch.Generator().manual_seed(0)
    examples = []
    for k in range(12):
        image = torch.rand(1, 16, 16, generator=generator)
        masks = torch.cat([image > t for t in THRESHOLDS.values()]).to(torch.uint8)
        rated = torch.ones(3, 16, 16, dtype=torch.bool)
        rated[2] = not absent or k % 2 == 0
        workload = (12, 12, 6 if absent else 12)
        examples.append(Example(image, masks, rated, k, k, str(k), "", torch.ones(2), (0, 1, 2), workload))
    return collate(examples)


def trained(pointwise, batch: Batch, steps: int = 120, **settings) -> RaterConditioned:
    torch.manual_seed(0)
    model = RaterConditioned(pointwise(2), latent=4, **settings)
    model.bind(DatasetInfo("toy", 2, LabelSet.binary("x"), (0.0, 1.0), raters=tuple(THRESHOLDS)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.06 * (1 - step / steps)
        optimizer.zero_grad()
        model.loss(batch)["loss"].backward()
        optimizer.step()
    return model.eval()


def test_each_rater_is_learnt_and_so_are_all_of_them(pointwise):
    batch = thresholds(absent=True)
    model = trained(pointwise, batch).requires_grad_(False)
    image = batch.image
    for name, threshold in THRESHOLDS.items():
        model.choose_rater(name)
        right = (model(image, Draws(1)).mode == (image[:, 0] > threshold)).float().mean()
        assert right > 0.97, name
    model.choose_rater(None)
    shares = model(image, Draws(3)).readings().float().mean(dim=(1, 2, 3))
    assert sorted(shares.tolist()) == pytest.approx([0.3, 0.5, 0.7], abs=0.03)
    # the consensus, trained on masks whose rater it is not told, draws what two of three would
    model.choose_rater("consensus")
    assert (model(image, Draws(1)).mode == (image[:, 0] > 0.5)).float().mean() > 0.9
    # strangers draw about the consensus, as much apart as the raters are (whose shares have a deviation of 0.16)
    model.choose_rater(None)
    model.population = True
    strangers = model(image, Draws(60)).readings().float().mean(dim=(1, 2, 3))
    assert strangers.mean().item() == pytest.approx(0.5, abs=0.08)
    assert 0.08 < strangers.std().item() < 0.25
    assert len(set(strangers.tolist())) > 30


def test_the_consensus_comes_from_masks_of_nobody_as_well(pointwise):
    batch = thresholds()
    model = trained(pointwise, batch, steps=1, target=MajorityVote())
    model.zero_grad()
    terms = model.loss(batch)
    terms["loss"].backward()
    assert terms["divergence"] == 0
    assert not model.styles.place.grad.any()
    assert model.combiner.from_features.weight.grad.any()


def slow_bound(model: RaterConditioned, batch: Batch) -> tuple[float, float]:
    """Reconstruction and divergence, one image and one rater at a time, at the means of the styles."""
    reconstruction = divergence = 0.0
    prior = MultivariateNormal(torch.zeros(model.latent), model.styles.covariance().float())
    workload = {int(r): int(n) for r, n in zip(batch.rater.flatten(), batch.workload.flatten(), strict=True)}
    for b in range(len(batch)):
        present = [m for m in range(batch.masks.shape[1]) if batch.rated[b, m].any()]
        features = model.unet.features(batch.image[b : b + 1])
        for m in present:
            r = int(batch.rater[b, m])
            style = torch.zeros(model.latent) if r < 0 else model.styles.mean[r]
            logits = model.unet.head(model.combiner(features, style[None, None]), tuple(batch.image.shape[2:]))
            probs = logits.softmax(1)[0]
            allowed = model.admissible[batch.masks[b, m].long()].movedim(-1, 0)
            log_p = (probs * allowed).sum(0).log()
            reconstruction -= log_p[batch.rated[b, m]].sum().item() / len(present) / len(batch)
            if r >= 0:
                posterior = Independent(Normal(model.styles.mean[r], model.styles.log_deviation[r].exp()), 1)
                q = MultivariateNormal(posterior.mean, torch.diag(posterior.variance))
                divergence += kl_divergence(q, prior).item() / workload[r] / len(present) / len(batch)
    return reconstruction, divergence


def test_the_bound_equals_a_slow_one(named, named_batch):
    torch.manual_seed(0)
    model = RaterConditioned(UNet(1, 3, (4, 8)), latent=3, consensus_share=0.0, beta=2.0).eval()
    model.bind(named)
    with torch.no_grad():
        model.styles.log_deviation.fill_(-9.0)  # so that a sample is the mean
    terms = model.loss(named_batch)
    reconstruction, divergence = slow_bound(model, named_batch)
    assert terms["reconstruction"].item() == pytest.approx(reconstruction, rel=1e-3)
    assert terms["divergence"].item() == pytest.approx(divergence, rel=1e-3)
    assert terms["loss"].item() == pytest.approx(reconstruction + 2 * divergence, rel=1e-3)
    assert divergence > 0.1


def test_the_loss_is_the_mean_over_images_whatever_the_batch(named, named_batch):
    model = RaterConditioned(UNet(1, 3, (4, 8)), consensus_share=0.0).eval()
    model.bind(named)
    with torch.no_grad():
        model.styles.log_deviation.fill_(-20.0)

    def only(k: int) -> Batch:
        tensors = {n: v[k : k + 1] for n, v in vars(named_batch).items() if isinstance(v, torch.Tensor)}
        return replace(named_batch, **tensors, case_ids=named_batch.case_ids[k : k + 1], sites=("",))

    each = [model.loss(only(k))["reconstruction"].item() for k in range(2)]
    assert model.loss(named_batch)["reconstruction"].item() == pytest.approx(sum(each) / 2, rel=1e-5)


def test_of_a_share_of_the_masks_it_is_not_told_whose_they_are(named, named_batch, monkeypatch):
    model = RaterConditioned(UNet(1, 3, (4, 8)), consensus_share=0.3, target=RandomRater())
    model.bind(named)
    told: list[int] = []
    sample = model.styles.sample
    monkeypatch.setattr(model.styles, "sample", lambda rater: told.extend(rater.flatten().tolist()) or sample(rater))
    everyone = replace(named_batch, rater=torch.tensor([[0, 1, 2], [0, 1, 2]]), workload=torch.ones(2, 3).long())
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(100):
            model.loss(everyone)
    # 200 masks: the standard deviation of the share is 0.032
    assert told.count(-1) / len(told) == pytest.approx(0.3, abs=0.1)


def test_styles_by_name(named):
    model = RaterConditioned(UNet(1, 3, (4, 8)), latent=5)
    model.bind(named)
    assert model.style_of("consensus").tolist() == [0.0] * 5
    torch.testing.assert_close(model.style_of("Ben"), model.styles.mean[1].detach())
    total = sum(model.style_of(name) for name in named.raters)
    torch.testing.assert_close(total, torch.zeros(5), atol=1e-6, rtol=0)
    with pytest.raises(ProbsegError, match="E_UNKNOWN_RATER"):
        model.style_of("Dora")


@torch.no_grad()
def test_a_stranger_is_the_same_one_whatever_is_asked(named):
    torch.manual_seed(0)
    model = RaterConditioned(UNet(1, 3, (4, 8)), population=True, hidden=32).eval()
    model.bind(named)
    images = torch.rand(3, 1, 16, 16)
    whole = model(images, Draws(4, seed=2)).logits
    torch.testing.assert_close(model(images[1:2], Draws(6, seed=2)).logits[:, :4], whole[:, :, 1:2], atol=1e-5, rtol=0)
    assert (whole[0, 0] - whole[0, 1]).abs().max() > 1e-3
    assert not torch.equal(model(images, Draws(4, seed=3)).logits, whole)


@pytest.mark.parametrize(
    "wrong", [{"latent": 0}, {"hidden": 0}, {"beta": -1.0}, {"consensus_share": 1.0}, {"consensus_share": -0.1}]
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA: latent and hidden"):
        RaterConditioned(UNet(1, 3, (4, 8)), **wrong)
    with pytest.raises(ProbsegError, match="not of both"):
        RaterConditioned(UNet(1, 3, (4, 8)), population=True, rater="Ann")
