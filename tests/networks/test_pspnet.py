"""The pyramid scene parsing network: sizes, the pyramid by hand, and a view of the whole image."""

from __future__ import annotations

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.networks import FeatureNetwork, PSPNet
from probseg.networks.pspnet import _Pyramid

TINY = {"channels": (4, 4, 6, 8), "blocks": (1, 1, 1, 1), "width": 5}


@pytest.mark.parametrize("space", [(32, 32), (17, 9), (1, 1), (16, 9, 8)])
def test_logits_have_the_size_of_the_image(space):
    torch.manual_seed(0)
    net = PSPNet(2, 3, dimensions=len(space), **TINY).eval()
    image = torch.rand(2, 2, *space)
    features = net.features(image)
    assert isinstance(net, FeatureNetwork)
    assert features.shape == (2, 5, *(-(-n // 8) for n in space))
    assert net(image).shape == (2, 3, *space)
    assert torch.equal(net.head(features, space), net(image))


def test_it_starts_at_the_expected_share_of_foreground():
    net = PSPNet(1, 3, foreground=0.1, **TINY).eval()
    torch.nn.init.zeros_(net.classify.weight)
    probs = net(torch.rand(1, 1, 8, 8)).softmax(1)
    torch.testing.assert_close(probs[0, :, 2, 3], torch.tensor([0.9, 0.05, 0.05]))


def test_the_pyramid_puts_means_of_the_image_beside_each_position():
    pyramid = _Pyramid(2, (1, 2), 2).eval()  # one channel a grid
    with torch.no_grad():
        for grid in pyramid.grids:
            grid[1].weight.copy_(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1))
        pyramid.grids[0][1].bias.zero_()
    x = torch.zeros(1, 2, 4, 4)
    x[0, 0, :2, :2] = 1.0  # the first quarter of the first channel
    out = pyramid(x)
    assert torch.equal(out[:, :2], x)
    torch.testing.assert_close(out[0, 2], torch.full((4, 4), 0.25))
    corners = out[0, 3, ::3, ::3] / (1 + 1e-5) ** -0.5  # batch norm in evaluation divides by this
    torch.testing.assert_close(corners, torch.tensor([[1.0, 0.0], [0.0, 0.0]]))


def test_every_position_sees_the_whole_image():
    torch.manual_seed(0)
    net = PSPNet(1, 2, **TINY).eval()
    image = torch.rand(1, 1, 160, 160, requires_grad=True)
    net(image)[0, 1, 0, 0].backward()
    assert image.grad[0, 0, -8:, -8:].abs().sum() > 0


def test_a_batch_of_one_trains():
    torch.manual_seed(0)
    net = PSPNet(1, 2, **TINY)
    net(torch.rand(1, 1, 64, 64)).square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert net.encoder[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "wrong",
    [{"dimensions": 1}, {"num_classes": 1}, {"foreground": 0}, {"channels": (4, 8)}, {"blocks": (1, 0, 1, 1)}],
)
def test_wrong_settings(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        PSPNet(**wrong)


def test_images_of_another_kind():
    with pytest.raises(ProbsegError, match=r"E_SHAPE_MISMATCH.*2 dimensions and 1 channels"):
        PSPNet(**TINY)(torch.rand(1, 2, 8, 8))
