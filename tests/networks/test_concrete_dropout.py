"""Dropout that learns its probability."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from probseg.errors import ProbsegError
from probseg.networks import UNet
from probseg.networks.concrete_dropout import ConcreteDropout, make_concrete


def test_it_starts_at_p_and_knows_its_entropy():
    layer = ConcreteDropout(0.2)
    assert layer.p == pytest.approx(0.2)
    assert layer.kept.item() == pytest.approx(0.8)
    assert layer.entropy.item() == pytest.approx(-0.2 * math.log(0.2) - 0.8 * math.log(0.8))
    with torch.no_grad():
        layer.logit.fill_(60.0)
    assert layer.entropy.item() == pytest.approx(0, abs=1e-12)
    layer.reset_parameters()
    assert layer.p == pytest.approx(0.2)


@pytest.mark.parametrize(("shape", "axis"), [((8, 50, 3, 4), 1), ((8, 50, 2, 2, 2), 1), ((8, 9, 50), 2), ((8, 50), 1)])
def test_whole_channels_are_dropped_in_training_and_nothing_in_evaluation(shape, axis):
    torch.manual_seed(0)
    layer = ConcreteDropout(0.3, temperature=1e-3)  # nearly a coin toss
    x = torch.ones(shape)
    factor = layer(x).movedim(axis, 1).reshape(8, 50, -1)
    assert torch.equal(factor, factor[..., :1].expand_as(factor))
    kept = factor[..., 0] > 0.5
    torch.testing.assert_close(factor[..., 0][kept], torch.full((int(kept.sum()),), 1 / 0.7), atol=0.02, rtol=0)
    # 400 tosses with standard deviation sqrt(0.3 * 0.7 / 400) = 0.023
    assert 1 - kept.float().mean().item() == pytest.approx(0.3, abs=0.08)
    assert len(kept.float().mean(dim=1).unique()) > 1  # each image by itself
    assert layer.eval()(x) is x


def test_the_formula_of_the_paper(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda shape, device=None: torch.full(shape, 0.75))
    layer = ConcreteDropout(0.1, temperature=0.5)
    dropped = 1 / (1 + math.exp(-(math.log(0.1 / 0.9) + math.log(0.75 / 0.25)) / 0.5))
    assert layer(torch.full((1, 1, 1, 1), 2.0)).item() == pytest.approx(2 * (1 - dropped) / 0.9, rel=1e-5)


def test_p_is_learnt():
    torch.manual_seed(0)
    layer = ConcreteDropout(0.4)
    (layer(torch.ones(16, 8, 2, 2)) - 1).square().mean().backward()  # dropping only hurts
    assert layer.logit.grad > 0


def test_every_dropout_that_drops_is_replaced():
    net = nn.ModuleDict({"unet": UNet(1, 2, (4, 8), dropout=0.3), "idle": nn.Dropout(0.0), "own": nn.Dropout(0.1)})
    made = make_concrete(net)
    assert [layer.p for layer in made] == pytest.approx([0.1, 0.3, 0.3, 0.3], abs=1e-6)
    assert isinstance(net["own"], ConcreteDropout) and isinstance(net["idle"], nn.Dropout)
    assert not any(isinstance(m, nn.Dropout2d) for m in net.modules())


@pytest.mark.parametrize("wrong", [{"p": 0.0}, {"p": 1.0}, {"temperature": 0.0}])
def test_wrong_settings(wrong):
    with pytest.raises(ProbsegError, match="ConcreteDropout needs p within 0 to 1"):
        ConcreteDropout(**wrong)
