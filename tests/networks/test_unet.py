"""The U-Net: shapes whatever the size, an honest start, one network however it is taken apart."""

from __future__ import annotations

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.networks import FeatureNetwork, UNet


@pytest.mark.parametrize("space", [(16, 16), (7, 13), (1, 1), (8, 8, 8), (3, 9, 5)])
@pytest.mark.parametrize("fold", [1, 2])
def test_logits_have_the_size_of_the_image(space, fold):
    net = UNet(2, 3, (4, 6), len(space), fold).eval()
    image = torch.rand(2, 2, *space)
    logits = net(image)
    assert logits.shape == (2, 3, *space)
    assert torch.equal(net.head(net.features(image), space), logits)
    assert net.features(image).shape[1] == net.feature_channels == 4
    assert isinstance(net, FeatureNetwork)


def test_it_starts_at_the_expected_share_of_foreground():
    net = UNet(1, 3, (4, 8), foreground=0.1).eval()
    torch.nn.init.zeros_(net.classify.weight)
    probs = net(torch.rand(1, 1, 8, 8)).softmax(1)
    torch.testing.assert_close(probs[0, :, 2, 3], torch.tensor([0.9, 0.05, 0.05]))


def test_an_object_moved_by_whole_patches_moves_the_answer():
    torch.manual_seed(0)
    net = UNet(1, 2, (4, 8)).eval()
    image = torch.zeros(1, 1, 48, 48)
    image[..., 20:24, 20:24] = 1
    moved = image.roll((4, 8), (2, 3))
    inner = slice(8, 40)
    there = net(image).roll((4, 8), (2, 3))[..., inner, inner]
    torch.testing.assert_close(net(moved)[..., inner, inner], there, atol=1e-5, rtol=1e-5)


def test_dropout_lies_deep_and_in_the_decoder():
    net = UNet(1, 2, (4, 6, 8, 10), dropout=0.3)
    has = [any(isinstance(m, torch.nn.Dropout2d) for m in level) for level in net.down]
    assert has == [False, False, True, True]
    assert all(any(isinstance(m, torch.nn.Dropout2d) for m in level) for level in net.up)
    assert not any(isinstance(m, torch.nn.Dropout2d) for m in UNet(1, 2, (4, 6)).modules())


@pytest.mark.parametrize(
    "wrong", [{"dimensions": 4}, {"num_classes": 1}, {"foreground": 0.0}, {"foreground": 1.0}, {"channels": (4,)}]
)
def test_wrong_settings(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        UNet(**wrong)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8, 8), (1, 2, 8, 8)])
def test_images_of_another_kind(shape):
    with pytest.raises(ProbsegError, match=r"E_SHAPE_MISMATCH.*2 dimensions and 1 channels"):
        UNet(1, 2, (4, 8))(torch.rand(shape))
