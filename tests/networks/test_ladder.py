"""One rung by hand, and layouts that do not change numbers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from probseg.networks import LatentLadder, MaskEncoder
from probseg.networks.ladder import Pointwise


@torch.no_grad()
@pytest.mark.parametrize("space", [(4, 6), (2, 3, 4)])
def test_pointwise_is_a_convolution_of_size_one(space):
    torch.manual_seed(0)
    layer, x = Pointwise(3, 5), torch.randn(2, 3, *space)
    convolution = F.conv2d if len(space) == 2 else F.conv3d
    expected = convolution(x, layer.weight.reshape(5, 3, *(1,) * len(space)), layer.bias)
    torch.testing.assert_close(layer(x), expected)


@torch.no_grad()
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_ladder_by_its_formula(dimensions):
    torch.manual_seed(1)
    sizes = ((2, 4), (4, 8)) if dimensions == 2 else ((1, 2, 2), (2, 4, 4))
    ladder = LatentLadder((6, 5), latents=(2, 3), widths=(4, 3), seen=1, dimensions=dimensions)
    pyramid = [torch.randn(2, c, *size) for c, size in zip((6, 5), sizes, strict=True)]
    z = [torch.randn(2, 7, n) for n in (2, 3)]
    got = ladder(pyramid, lambda rung, visible, prior: z[rung])
    above = None
    convolution = F.conv2d if dimensions == 2 else F.conv3d
    for k, rung in enumerate(ladder.rungs):
        base = rung.from_features(pyramid[k])
        maps = rung.maps(pyramid[k]).unflatten(1, (rung.latent, rung.width))
        for reading in range(7):
            x = base.clone()
            if above is not None:
                x += F.interpolate(rung.from_above(above[:, reading]), scale_factor=2)
            for i in range(rung.latent):
                x += z[k][:, reading, i].reshape(2, *(1,) * (dimensions + 1)) * maps[:, i]
            expected = F.relu(convolution(F.relu(x), rung.mix.weight, rung.mix.bias, padding=1))
            torch.testing.assert_close(got[k][:, reading], expected, atol=1e-5, rtol=1e-5)
        above = got[k]
    change = ladder.change(got[-1])
    assert change.shape == (2, 7, 5, *sizes[1])
    torch.testing.assert_close(change[:, 3], ladder.to_features(got[-1][:, 3]))


@torch.no_grad()
def test_a_posterior_by_its_formula():
    torch.manual_seed(2)
    ladder = LatentLadder((6, 5), latents=(2,), widths=(4, 3), seen=7)
    visible, seen = torch.randn(2, 1, 8), torch.randn(2, 3, 7)
    prior = torch.distributions.Independent(torch.distributions.Normal(torch.randn(2, 3, 2), torch.rand(2, 3, 2)), 1)
    posterior = ladder.posterior(0, visible, prior, seen)
    d, s = ladder.rungs[0].posterior(torch.cat([visible.expand(2, 3, 8), seen], dim=2)).chunk(2, dim=2)
    torch.testing.assert_close(posterior.mean, prior.mean + prior.stddev * d)
    torch.testing.assert_close(posterior.stddev, prior.stddev * (s / 2).exp())


@torch.no_grad()
@pytest.mark.parametrize("space", [(16, 12), (5, 9, 6)])
def test_the_summary_of_a_mask_sees_few_voxels_and_no_other_example(space):
    torch.manual_seed(3)
    encoder = MaskEncoder(2, (4, 6), dimensions=len(space)).train()
    x = torch.zeros(3, 2, *space)
    x[1, 1].view(-1)[37] = 1
    found = encoder(x)
    assert found.shape == (3, encoder.size) == (3, 20)
    torch.testing.assert_close(found[0], found[2])
    assert (found[0] - found[1]).abs().max() > 0.05, "one voxel shows in the maximum"
    torch.testing.assert_close(encoder(x[1:2])[0], found[1], atol=1e-5, rtol=1e-5)
