"""Batch norm in the weights of the convolution before it: the same numbers, and only where nothing is learnt."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from probseg.networks import UNet


def trained(**settings):
    """A U-Net whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    network = UNet(1, 2, (8, 12, 16), **settings)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network


SETTINGS = [
    {},
    {"block": "residual"},
    {"dimensions": 3},
    {"block": "residual", "dimensions": 3},
    {"norm": "group"},
    {"norm": "instance"},
    {"dropout": 0.2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_inference_gives_the_same(settings):
    network = trained(**settings).eval()
    image = torch.rand(2, 1, *(16,) * network.dimensions)
    with torch.no_grad():
        expected = network(image)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), expected, rtol=1e-4, atol=1e-5)


def test_norms_are_not_asked_in_inference_unless_somebody_looks():
    network = trained().eval()
    norm = network.down[0][1]
    image, asked = torch.rand(1, 1, 16, 16), []
    own = norm.forward
    with torch.inference_mode():
        norm.forward = lambda x: asked.append("replaced") or own(x)
        network(image)
        del norm.forward
        handle = norm.register_forward_hook(lambda *_: asked.append("hook"))
        network(image)
        handle.remove()
        norm.weight.data *= 2  # the weights are those of now
        first = network(image)
    with torch.no_grad():
        torch.testing.assert_close(first, network(image), rtol=1e-4, atol=1e-5)
    assert asked == ["replaced", "hook"]


def test_statistics_of_the_batch_are_taken_in_training_mode():
    network = trained().train()
    before = network.down[0][1].running_mean.clone()
    with torch.inference_mode():
        network(torch.rand(4, 1, 16, 16))
    assert not torch.equal(before, network.down[0][1].running_mean)
