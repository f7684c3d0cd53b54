"""Networks of other libraries as networks with features."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from probseg.errors import ProbsegError
from probseg.networks import Adapted, FeatureNetwork


@pytest.mark.parametrize("space", [(32, 32), (32, 32, 32)])
def test_a_network_of_monai_has_features(space):
    torch.manual_seed(0)
    inner = BasicUNet(len(space), 1, 6, features=(4, 4, 4, 4, 4, 4)).eval()
    net = Adapted(inner, 6, 3, dimensions=len(space)).eval()
    image = torch.rand(2, 1, *space)
    assert isinstance(net, FeatureNetwork) and not isinstance(inner, FeatureNetwork)
    assert torch.equal(net.features(image), inner(image))
    assert net(image).shape == (2, 3, *space)
    assert torch.equal(net(image), net.classify(inner(image)))


@pytest.mark.parametrize(
    "inner", [nn.Conv2d(1, 4, 1), nn.Conv2d(1, 5, 1, stride=2), nn.MaxPool2d(1, return_indices=True)]
)
def test_features_of_another_shape(inner):
    with pytest.raises(ProbsegError, match=r"E_SHAPE_MISMATCH.*\(1, 5, 8, 8\)"):
        Adapted(inner, 5)(torch.rand(1, 1, 8, 8))


@pytest.mark.parametrize("wrong", [{"dimensions": 4}, {"feature_channels": 0}, {"num_classes": 1}])
def test_wrong_settings(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        Adapted(nn.Identity(), **{"feature_channels": 1} | wrong)
