"""The encoder of prior and posterior."""

from __future__ import annotations

import math

import pytest
import torch

from probseg.networks import GaussianEncoder


@pytest.mark.parametrize("space", [(16, 16), (5, 9), (4, 6, 7)])
def test_a_gaussian_close_to_standard_at_the_start(space):
    torch.manual_seed(0)
    gaussian = GaussianEncoder(2, 5, (4, 8), len(space)).eval()(torch.rand(3, 2, *space))
    assert gaussian.batch_shape == (3,) and gaussian.event_shape == (5,)
    assert gaussian.base_dist.loc.abs().max() < 0.5
    assert (gaussian.base_dist.scale - 1).abs().max() < 0.3


def test_the_log_variance_is_clamped_and_the_mean_is_not():
    encoder = GaussianEncoder(1, 2, (4,), log_variance=(-2.0, 1.0)).eval()
    torch.nn.init.zeros_(encoder.moments.weight)
    with torch.no_grad():
        encoder.moments.bias.copy_(torch.tensor([50.0, -50.0, 50.0, -50.0]))
    base = encoder(torch.rand(1, 1, 8, 8)).base_dist
    assert base.loc.tolist() == [[50, -50]]
    assert base.scale[0].tolist() == pytest.approx([math.exp(0.5), math.exp(-1)])


def test_float32_under_autocast():
    encoder = GaussianEncoder(1, 2, (4, 8)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        base = encoder(torch.rand(2, 1, 16, 16)).base_dist
    assert base.loc.dtype == base.scale.dtype == torch.float32
