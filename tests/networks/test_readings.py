"""Many latents from features that are computed once: equal to asking the head for each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from probseg.networks import Adapted, L3UNet, LatentCombiner, LinearHead, PSPNet, UNet, logits_under, readings

NETWORKS = {
    "folded": (UNet(1, 3, (8, 12), fold=2), (20, 14)),
    "unfolded, size that does not fit": (UNet(1, 2, (8, 12), fold=1), (13, 10)),
    "3-D": (UNet(1, 3, (8, 12), dimensions=3), (6, 8, 10)),
    "PSPNet": (PSPNet(1, 3, (8, 8, 8, 8), (1, 1, 1, 1), width=8), (21, 18)),
    "adapted": (Adapted(nn.Conv2d(1, 5, 3, padding=1), 5), (9, 7)),
}


@pytest.mark.parametrize("block", [16, 4096])
@pytest.mark.parametrize("shared", [True, False], ids=["one latent for all images", "a latent an image"])
@pytest.mark.parametrize(("network", "space"), NETWORKS.values(), ids=NETWORKS.keys())
def test_equal_to_the_head_of_each_reading(monkeypatch, network, space, shared, block):
    assert isinstance(network, LinearHead)
    torch.manual_seed(0)
    monkeypatch.setattr(readings, "_BLOCK", block)  # the last block is smaller than the others
    combiner = LatentCombiner(network.feature_channels, 3, 7, network.dimensions)
    with torch.no_grad():
        features = network.eval().features(torch.rand(2, 1, *space))
        latent = torch.randn(4, 1 if shared else 2, 3)
        got = logits_under(network, combiner, features, latent, space)
    # with gradients the layers are asked one after the other
    expected = logits_under(network, combiner, features, latent, space)
    assert expected.requires_grad and not got.requires_grad
    assert got.shape == (4, 2, network.num_classes, *space)
    torch.testing.assert_close(got, expected.detach())


def test_a_head_that_is_no_single_convolution():
    network = L3UNet(1, 2, (8, 8))
    assert not isinstance(network, LinearHead)
    combiner = LatentCombiner(network.feature_channels, 3)
    with torch.no_grad():
        features = network.eval().features(torch.rand(1, 1, 16, 16))
        assert logits_under(network, combiner, features, torch.randn(2, 1, 3), (16, 16)).shape == (2, 1, 2, 16, 16)


def test_half_precision_takes_the_layers_as_they_are():
    network = UNet(1, 2, (8, 12)).eval()
    combiner = LatentCombiner(8, 3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = network.features(torch.rand(1, 1, 16, 16))
        logits = logits_under(network, combiner, features, torch.randn(2, 1, 3), (16, 16))
    assert logits.isfinite().all()
