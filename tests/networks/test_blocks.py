"""What a level of the U-Net does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from probseg.networks.blocks import BLOCKS, NORMS, PlainBlock, ResidualBlock


def test_instance_norm_is_that_of_torch():
    x = torch.randn(2, 4, 5, 6)
    torch.testing.assert_close(NORMS["instance"](2, 4)(x), nn.InstanceNorm2d(4)(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("channels", "groups"), [(24, 8), (6, 2), (5, 1)])
def test_groups_divide_the_channels(channels, groups):
    assert NORMS["group"](2, channels).num_groups == groups


@pytest.mark.parametrize("block", BLOCKS.values())
@pytest.mark.parametrize("space", [(4, 6), (2, 4, 6)])
def test_joining_is_the_same_block_on_upsampled_and_concatenated_features(block, space):
    torch.manual_seed(0)
    joining, alone = (block(5, 4, len(space), 0.0, "group", joins) for joins in (True, False))
    alone.load_state_dict(joining.state_dict())
    skip, below = torch.randn(2, 2, *space), torch.randn(2, 3, *(n // 2 for n in space))
    whole = torch.cat([F.interpolate(below, scale_factor=2.0), skip], dim=1)
    torch.testing.assert_close(joining(skip, below=below), alone(whole), atol=1e-5, rtol=1e-5)


def test_a_residual_block_without_its_convolutions_is_its_shortcut():
    block = ResidualBlock(3, 3, 2, 0.0).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 3, 4, 4)
    assert torch.equal(block(x), x)
    assert isinstance(ResidualBlock(3, 4, 2, 0.0).shortcut, nn.Sequential)


@pytest.mark.parametrize("block", [PlainBlock, ResidualBlock])
def test_dropout_drops_whole_channels(block):
    torch.manual_seed(0)
    dropped = block(2, 8, 2, 0.5)(torch.randn(2, 2, 6, 6)).flatten(2)
    assert 0 < (dropped == 0).all(dim=2).sum() < 16
