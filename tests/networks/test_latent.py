"""Where the latent meets the features: as if tiled, added to what was there."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from probseg.networks import LatentCombiner


@pytest.mark.parametrize("space", [(3, 4), (2, 3, 4)])
def test_equal_to_tiling_the_latent_as_kohl_does(space):
    torch.manual_seed(0)
    combiner = LatentCombiner(5, 2, 6, len(space))
    features, z = torch.randn(3, 5, *space), torch.randn(4, 3, 2)
    conv = F.conv2d if len(space) == 2 else F.conv3d
    weight = torch.cat([combiner.from_features.weight.flatten(1), combiner.from_latent.weight], dim=1)
    weight = weight.reshape(6, 7, *(1,) * len(space))
    got = combiner(features, z).unflatten(0, (4, 3))
    for reading in range(4):
        tiled = z[reading].reshape(3, 2, *(1,) * len(space)).expand(3, 2, *space)
        x = F.relu(conv(torch.cat([features, tiled], dim=1), weight, combiner.from_features.bias))
        expected = features + combiner.to_features(F.relu(combiner.between(x)))
        torch.testing.assert_close(got[reading], expected)


def test_the_latent_starts_large_enough_to_be_used():
    assert LatentCombiner(4, 32, 64).from_latent.weight.std().item() == pytest.approx(0.5, rel=0.1)
