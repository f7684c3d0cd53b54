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
    ladder = LatentLadder((6, 5), 8, latents=(2, 3), widths=(4, 3), seen=1, dimensions=dimensions)
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
    answer = ladder.answer(got[-1])
    assert answer.shape == (2, 7, 8, *sizes[1])
    torch.testing.assert_close(answer[:, 3], ladder.to_answer(got[-1][:, 3]))


def test_voxels_of_a_position_start_alike():
    ladder = LatentLadder((6, 5), 12, patch=4, latents=(2,), widths=(4, 3))
    weight = ladder.to_answer.weight.unflatten(0, (3, 4))
    assert (weight == weight[:, :1]).all() and not torch.equal(weight[0], weight[1])


@torch.no_grad()
def test_a_posterior_by_its_formula():
    torch.manual_seed(2)
    ladder = LatentLadder((6, 5), 2, latents=(2,), widths=(4, 3), seen=7)
    visible, seen = torch.randn(2, 1, 8), torch.randn(2, 3, 7)
    prior = torch.distributions.Independent(torch.distributions.Normal(torch.randn(2, 3, 2), torch.rand(2, 3, 2)), 1)
    posterior = ladder.posterior(0, visible, prior, seen)
    d, s = ladder.rungs[0].posterior(torch.cat([visible.expand(2, 3, 8), seen], dim=2)).chunk(2, dim=2)
    torch.testing.assert_close(posterior.mean, prior.mean + prior.stddev * d)
    torch.testing.assert_close(posterior.stddev, prior.stddev * (s / 2).exp())


@torch.no_grad()
@pytest.mark.parametrize("space", [(64, 64), (32, 32, 32)])
def test_the_summary_of_a_mask_sees_one_voxel_by_its_maximum(space):
    moved = torch.zeros(2)  # of mean and maximum
    for seed in range(8):
        torch.manual_seed(seed)
        encoder = MaskEncoder(2, (4, 6), dimensions=len(space))
        x = torch.zeros(2, 2, *space)
        x[1, 1].view(-1)[1234] = 1
        found = encoder(x)
        assert found.shape == (2, encoder.size) == (2, 20)
        parts = (found[0] - found[1]).abs().split((4, 4, 6, 6))  # mean and maximum of each scale
        moved += torch.stack([parts[0].sum() + parts[2].sum(), parts[1].sum() + parts[3].sum()])
    assert moved[1] > 3 * moved[0]


@torch.no_grad()
@pytest.mark.parametrize("space", [(16, 12), (5, 9, 6)])
def test_the_summary_of_a_mask_depends_on_no_other_example(space):
    torch.manual_seed(3)
    encoder, x = MaskEncoder(2, (4, 6), dimensions=len(space)).train(), torch.rand(3, 2, *space)
    whole = encoder(x)
    for k in range(3):
        torch.testing.assert_close(encoder(x[k : k + 1])[0], whole[k], atol=1e-5, rtol=1e-5)
