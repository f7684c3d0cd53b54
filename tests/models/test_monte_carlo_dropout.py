"""Dropout awake, everything else asleep."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.models import MonteCarloDropout
from probseg.models.monte_carlo_dropout import channels_dropped
from probseg.networks import UNet


@pytest.fixture
def model() -> MonteCarloDropout:
    return MonteCarloDropout(UNet(1, 2, (4, 8), dropout=0.5)).eval()


def test_only_dropout_wakes_and_everything_is_as_before(model):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = {name: module.training for name, module in model.named_modules()}
    model(torch.rand(2, 1, 8, 8), Draws(3))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert not any(module._forward_hooks for module in model.modules())
    model.network.train()
    with pytest.raises(RuntimeError), channels_dropped(model.network, Draws(), 0):
        assert not any(m.training for m in model.network.modules() if isinstance(m, nn.Dropout2d))
        raise RuntimeError
    assert all(m.training for m in model.network.modules())


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.Dropout3d])
def test_whole_channels_are_dropped_alike_for_every_image(layer):
    net = layer(0.4).eval()
    x = torch.ones(3, 50, 4, 5, *((2,) if layer is nn.Dropout3d else ()))
    with channels_dropped(net, Draws(seed=1), 0):
        y = net(x)
    mask = y[0].flatten(1)[:, 0]
    assert torch.equal(y, mask.reshape(1, 50, *(1,) * (x.ndim - 2)).expand_as(y))
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert torch.equal(net(x), x)
    with channels_dropped(net, Draws(seed=1), 1):
        assert not torch.equal(net(x), y)


def test_the_share_of_dropped_channels_is_p():
    net = nn.Sequential(nn.Dropout2d(0.3), nn.Dropout2d(0.3)).eval()
    x = torch.ones(1, 400, 1, 1)
    kept = 0
    for k in range(50):
        with channels_dropped(net, Draws(), k):
            kept += int((net(x) > 0).sum())
    # the layers drop independently of each other: 0.7 ** 2; the standard deviation of the share is 0.0035
    assert kept / (50 * 400) == pytest.approx(0.49, abs=0.02)


def test_it_asks_for_dropout():
    with pytest.raises(ProbsegError, match="set dropout of the network above 0"):
        MonteCarloDropout(UNet(1, 2, (4, 8)))
