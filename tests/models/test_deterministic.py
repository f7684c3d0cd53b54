"""One network, one answer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from probseg.batch import Example, collate
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.labels import LabelSet
from probseg.models import Deterministic
from probseg.models.losses import CombinedLoss, CrossEntropyLoss, DiceLoss
from probseg.models.losses.base import SegmentationLoss
from probseg.models.targets import Target
from probseg.networks import UNet, coarsened
from probseg.records import DatasetInfo


class Constant(nn.Module):
    """Any network will do: this one says 0.8 background everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.8, 0.2]).log())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.logits.reshape(1, 2, 1, 1).expand(len(image), 2, *image.shape[2:])


def test_hand_worked_loss_and_maps():
    model = Deterministic(Constant())
    model.bind(DatasetInfo("toy", 2, LabelSet.binary("x"), (0, 1)))
    masks = torch.tensor([[[0, 1]], [[0, 0]]], dtype=torch.uint8)
    rated = torch.tensor([[[True, True]], [[True, False]]])
    batch = collate([Example(torch.zeros(1, 1, 2), masks, rated, 0, 0, "a", "", torch.ones(2))])
    # three rated (voxel, rater): background, foreground, background
    assert model.loss(batch)["loss"].item() == pytest.approx(-(2 * math.log(0.8) + math.log(0.2)) / 3)
    distribution = model(batch.image, Draws(7))
    assert distribution.num_draws == 1
    assert distribution.epistemic.abs().max() == distribution.ambiguity.abs().max() == 0
    assert distribution.noise[0, 0, 0].item() == pytest.approx(-0.8 * math.log(0.8) - 0.2 * math.log(0.2))


def test_the_terms_of_the_objective_are_logged_and_class_weights_judged_when_the_classes_are_known(info, batch):
    model = Deterministic(UNet(1, 3, (4, 8)), CombinedLoss([CrossEntropyLoss([1.0, 2.0, 3.0]), DiceLoss()]))
    model.bind(info)
    terms = model.loss(batch)
    assert set(terms) == {"loss", "cross_entropy", "dice"}
    assert terms["loss"].item() == pytest.approx((terms["cross_entropy"] + terms["dice"]).item())
    wrong = Deterministic(UNet(1, 3, (4, 8)), CrossEntropyLoss([1.0, 2.0]))
    with pytest.raises(ProbsegError, match="class_weights of CrossEntropyLoss are 2, but the label set has 3 classes"):
        wrong.bind(info)


class Deep(nn.Module):
    """Three levels with a bias each."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.arange(9.0).reshape(3, 3) / 4)

    def deep_logits(self, image: torch.Tensor) -> list[torch.Tensor]:
        coarse = [coarsened(image, k, 2) for k in range(3)]
        return [x * self.bias[k].reshape(1, 3, 1, 1) for k, x in enumerate(coarse)]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.deep_logits(image)[0]


def test_every_level_of_a_deep_network_is_trained_and_weighs_half_the_finer_one(info, batch):
    seen: list[tuple[int, ...]] = []

    class Spy(SegmentationLoss):
        def __call__(self, log_probs: torch.Tensor, target: Target, admissible: torch.Tensor) -> dict:
            seen.append((*log_probs.shape[2:], *target.labels.shape[2:], *target.rated.shape[2:]))
            return CombinedLoss()(log_probs, target, admissible)

    model = Deterministic(Deep(), Spy())
    model.bind(info)
    terms = model.loss(batch)
    assert seen == [(16, 12) * 3, (8, 6) * 3, (4, 3) * 3]
    levels = [terms[f"level_{k}"].item() for k in range(3)]
    assert terms["loss"].item() == pytest.approx((4 * levels[0] + 2 * levels[1] + levels[2]) / 7)
    assert levels[0] == pytest.approx((terms["cross_entropy"] + terms["dice"]).item())
    assert len(set(levels)) == 3
    terms["loss"].backward()
    assert (model.network.bias.grad.abs() > 0).all()
    assert torch.equal(model(batch.image, Draws(1)).logits[0, 0], model.network(batch.image))


def test_each_known_rater_is_logged(info, batch):
    named = DatasetInfo(info.name, info.dimensions, info.labels, info.window, raters=("anna", "bert", "carl"))
    batch = type(batch)(**{**vars(batch), "rater": torch.tensor([[0, 1, 2], [2, 1, 0]])})
    model = Deterministic(UNet(1, 3, (4, 8))).eval()
    model.bind(named)
    terms = model.loss(batch)
    assert {"rater_anna", "rater_bert", "rater_carl", "loss"} == set(terms)
    log_probs = model.network(batch.image).log_softmax(1)
    admissible = torch.from_numpy(info.labels.admissible)
    costs = [
        -log_probs[b, admissible[batch.masks[b, r, i, j].long()], i, j].logsumexp(0).item()
        for b, r in ((0, 1), (1, 1))
        for i, j in batch.rated[b, r].nonzero().tolist()
    ]
    assert terms["rater_bert"].item() == pytest.approx(sum(costs) / len(costs), rel=1e-4)
    assert not terms["rater_bert"].requires_grad
