"""What every family has in common: binding to a label set, the learning rate, draws that do not depend on the batch."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.labels import LabelClass, LabelSet
from probseg.models import (
    SWAG,
    AverageRaters,
    Deterministic,
    Ensemble,
    HierarchicalUNet,
    MajorityVote,
    MonteCarloDropout,
    ProbabilisticUNet,
    RandomRater,
    RaterConditioned,
    RaterConfusion,
    StochasticSegmentation,
    TestTimeAugmentation,
)
from probseg.models.bounds import EvidenceBound, Geco, ImportanceWeightedBound
from probseg.models.losses import CombinedLoss, DiceLoss, SoftLabelLoss
from probseg.models.rater_aware import RaterAware
from probseg.networks import UNet
from probseg.records import DatasetInfo


def network(dimensions: int = 2, dropout: float = 0.2) -> UNet:
    return UNet(1, 3, (4, 8), dimensions, dropout=dropout)


def latent(dimensions: int = 2, **kwargs) -> ProbabilisticUNet:
    settings = {"encoder_channels": (4, 8), "hidden": 32, "latent": 2, **kwargs}  # four hidden units may all be dead
    return ProbabilisticUNet(network(dimensions, 0.0), **settings)


def hierarchical(dimensions: int = 2) -> HierarchicalUNet:
    return HierarchicalUNet(network(dimensions, 0.0), latents=(2, 2), widths=(8, 8), encoder_channels=(4, 8))


def swag(dimensions: int = 2) -> SWAG:
    """Three snapshots of weights that were shaken in between."""
    model = SWAG(Deterministic(network(dimensions)), snapshots=3, rank=3)
    for _ in range(3):
        with torch.no_grad():
            for value in model.member.parameters():
                value.add_(0.05 * torch.randn_like(value))
        model.collect()
    return model


def told_of_raters(model: RaterAware) -> RaterAware:
    """A model that knows seven raters; the masks of the tests below are of strangers to it."""
    labels = LabelSet(tuple(LabelClass(k, name) for k, name in enumerate(("background", "glass", "solid"))))
    model.bind(DatasetInfo("named", 2, labels, (0.0, 1.0), raters=tuple("ABCDEFG")))
    return model


FAMILIES = {
    "deterministic": (lambda d: Deterministic(network(d)), (1, 1)),
    "monte_carlo_dropout": (lambda d: MonteCarloDropout(network(d)), (4, 1)),
    "deterministic_combined": (
        lambda d: Deterministic(network(d), CombinedLoss([DiceLoss(), SoftLabelLoss()])),
        (1, 1),
    ),
    "ensemble": (lambda d: Ensemble(Deterministic(network(d)), size=3), (3, 1)),
    "ensemble_of_latents": (lambda d: Ensemble(latent(d), size=2), (2, 2)),
    "probabilistic_unet": (latent, (1, 4)),
    "probabilistic_unet_full": (
        lambda d: latent(d, covariance="full", pooling="mean_max", bound=ImportanceWeightedBound(2)),
        (1, 4),
    ),
    "probabilistic_unet_geco": (lambda d: latent(d, bound=Geco(100.0), prior_weight=0.5, prior_samples=2), (1, 4)),
    "probabilistic_unet_free_bits": (lambda d: latent(d, bound=EvidenceBound(free_bits=0.1)), (1, 4)),
    "hierarchical_unet": (hierarchical, (1, 4)),
    "test_time_augmentation": (lambda d: TestTimeAugmentation(Deterministic(network(d))), (4, 1)),
    "swag": (swag, (4, 1)),
    "stochastic_segmentation": (lambda d: StochasticSegmentation(network(d, 0.0), rank=3), (1, 4)),
    "rater_conditioned": (lambda d: told_of_raters(RaterConditioned(network(d, 0.0), hidden=32)), (1, 4)),
    "rater_confusion": (lambda d: told_of_raters(RaterConfusion(network(d, 0.0))), (1, 4)),
}


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


def excite(model: torch.nn.Module) -> None:
    """Make readings differ although nothing was learnt, and batch norm different from the identity."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
        for name, value in model.named_parameters():
            if any(part in name for part in ("to_features", "moments", "matrices")):
                value.copy_(torch.randn(value.shape, generator=generator))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_shapes(family, dimensions, info):
    build, axes = family
    model = build(dimensions).eval()
    space = (13, 10) if dimensions == 2 else (5, 6, 7)
    distribution = model(torch.rand(2, 1, *space), Draws(4))
    assert distribution.logits.shape == (*axes, 2, 3, *space)


@torch.no_grad()
def test_draw_k_does_not_depend_on_the_batch_or_on_how_many_are_drawn(family):
    build, _ = family
    torch.manual_seed(0)
    model = build(2).eval()
    excite(model)
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    whole = model(images, Draws(4, seed=9)).logits
    order = [3, 0, 4, 2, 1]
    shuffled = model(images[order], Draws(4, seed=9)).logits
    torch.testing.assert_close(shuffled, whole[:, :, order], atol=1e-5, rtol=0)
    for k in range(5):
        alone = model(images[k : k + 1], Draws(4, seed=9)).logits
        torch.testing.assert_close(alone, whole[:, :, k : k + 1], atol=1e-5, rtol=0)
    if whole.shape[0] * whole.shape[1] > 1:
        assert (whole.flatten(0, 1)[0] - whole.flatten(0, 1)[1]).abs().max() > 1e-3
    if not isinstance(model, Deterministic | Ensemble) or isinstance(model, MonteCarloDropout):
        assert not torch.equal(model(images, Draws(4, seed=10)).logits, whole)
        more = model(images, Draws(6, seed=9)).logits.flatten(0, 1)[:4]
        torch.testing.assert_close(more, whole.flatten(0, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("target", [AverageRaters, RandomRater, MajorityVote])
@pytest.mark.parametrize("space", ["batch", "volumes"])
def test_every_family_learns_from_every_target(family, target, space, info, request):
    build, _ = family
    dimensions = 2 if space == "batch" else 3
    model = build(dimensions)
    for part in (model, getattr(model, "member", model), *getattr(model, "members", [])):
        part.target = target()
    model.bind(info)
    torch.manual_seed(0)
    terms = model.loss(request.getfixturevalue(space))
    assert math.isfinite(terms["loss"].item())
    terms["loss"].backward()
    gradients = {n: p.grad for n, p in model.named_parameters()}
    assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())


def test_unrated_voxels_cost_nothing(family, info, batch):
    build, _ = family
    torch.manual_seed(0)
    model = build(2).eval()
    model.bind(info)
    results = []
    for fill in (0, 2):
        masks = torch.where(batch.rated, batch.masks, fill).to(torch.uint8)
        torch.manual_seed(1)
        model.zero_grad()
        loss = model.loss(dataclasses.replace(batch, masks=masks))["loss"]
        loss.backward()
        results.append((loss.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (a, ga), (b, gb) = results
    assert a == b
    assert all(torch.equal(x, y) for x, y in zip(ga, gb, strict=True))


def test_a_batch_that_nobody_rated_costs_nothing(family, info, batch):
    build, _ = family
    model = build(2)
    model.bind(info)
    loss = model.loss(dataclasses.replace(batch, rated=torch.zeros_like(batch.rated)))["loss"]
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_a_soft_label_is_the_mean_over_raters(info, batch):
    """With every rater everywhere, the average target's loss is the mean of the losses of each rater alone."""
    everywhere = dataclasses.replace(batch, rated=torch.ones_like(batch.rated))
    model = Deterministic(network(2, 0.0)).eval()
    model.bind(info)
    each = [
        model.loss(
            dataclasses.replace(everywhere, masks=everywhere.masks[:, r : r + 1], rated=everywhere.rated[:, r : r + 1])
        )["loss"].item()
        for r in range(3)
    ]
    assert model.loss(everywhere)["loss"].item() == pytest.approx(sum(each) / 3, rel=1e-5)
    # and by hand: minus the log of the summed probability of the admissible classes
    probs = model.network(batch.image).softmax(1)
    admissible = torch.from_numpy(info.labels.admissible)
    slow = -sum(
        probs[b, admissible[everywhere.masks[b, r, i, j].long()], i, j].sum().log()
        for b in range(2)
        for r in range(3)
        for i in range(16)
        for j in range(12)
    )
    assert model.loss(everywhere)["loss"].item() == pytest.approx(slow.item() / (2 * 3 * 16 * 12), rel=1e-5)


def test_an_unbound_model_and_other_classes_are_refused(info):
    model = Deterministic(network())
    with pytest.raises(ProbsegError) as unbound:
        _ = model.num_classes
    assert unbound.value.code == "E_UNBOUND"
    model.bind(info)
    with pytest.raises(ProbsegError) as other:
        model.bind(dataclasses.replace(info, labels=LabelSet.binary("glass")))
    assert other.value.code == "E_CLASS_MISMATCH"


def test_the_network_must_have_as_many_classes_as_the_labels(info, batch):
    with pytest.raises(ProbsegError, match="gives 2 classes but the label set has 3"):
        Deterministic(UNet(1, 2, (4, 8))).bind(info)
    model = Deterministic(torch.nn.Conv2d(1, 2, 1))  # which does not say how many it gives
    model.bind(info)
    with pytest.raises(ProbsegError, match="gives 2 classes but the label set has 3"):
        model.loss(batch)


def test_the_rate_rises_and_falls():
    model = Deterministic(network(), warmup=0.2)
    assert model._rate(0.0) == 0.01
    assert model._rate(0.1) == pytest.approx(0.5)
    assert model._rate(0.2) == pytest.approx(1)
    assert model._rate(0.6) == pytest.approx(0.5)
    assert model._rate(1.0) == pytest.approx(0, abs=1e-12)
    assert Deterministic(network(), warmup=0)._rate(0) == 1
    for wrong in (-0.1, 1.0):
        with pytest.raises(ProbsegError):
            Deterministic(network(), warmup=wrong)


def test_settings_that_an_optimizer_refuses_are_ours_to_tell():
    model = Deterministic(network(), optimizer=lambda p: torch.optim.AdamW(p, lr=-1.0))
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*learning rate"):
        model.configure_optimizers()
