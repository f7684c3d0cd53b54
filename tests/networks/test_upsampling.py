"""The joining convolution: as if features had been upsampled, concatenated and convolved."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from probseg.networks.upsampling import JoiningConv2d, JoiningConv3d, spread


def test_four_weights_of_three():
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1] = torch.tensor([1.0, 10.0, 100.0])  # a, b, c of one row
    assert spread(weight)[0, 0].tolist() == [[0, 0, 0, 0], [100, 110, 11, 1], [100, 110, 11, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize(("kind", "space"), [(JoiningConv2d, (3, 4)), (JoiningConv3d, (2, 1, 3))])
@pytest.mark.parametrize("bias", [False, True])
def test_equal_to_upsampling_concatenating_and_convolving(kind, space, bias):
    torch.manual_seed(0)
    layer = kind(7, 4, 3, padding=1, bias=bias).double()
    below = torch.randn(2, 5, *space, dtype=torch.float64, requires_grad=True)
    skip = torch.randn(2, 2, *(2 * n for n in space), dtype=torch.float64, requires_grad=True)
    inputs = (below, skip, *layer.parameters())
    joined = layer(below, skip)
    plain = F.conv2d if len(space) == 2 else F.conv3d
    up = F.interpolate(below, scale_factor=2.0, mode="nearest")
    expected = plain(torch.cat([up, skip], dim=1), layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(joined, expected)
    weights = torch.randn_like(joined)
    for got, wanted in zip(
        torch.autograd.grad((joined * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted)
