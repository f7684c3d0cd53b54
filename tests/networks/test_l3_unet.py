"""The study's U-Net: names and shapes as published, and what each layer does."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from probseg.errors import ProbsegError
from probseg.networks import FeatureNetwork, L3UNet

SMALL = (4, 6, 8, 10, 10)


def test_names_and_shapes_are_those_of_the_checkpoints():
    with torch.device("meta"):
        state = L3UNet().state_dict()
    blocks = {
        "inc.double_conv": (1, 64),
        "down1.maxpool_conv.1.double_conv": (64, 128),
        "down2.maxpool_conv.1.double_conv": (128, 256),
        "down3.maxpool_conv.1.double_conv": (256, 512),
        "down4.maxpool_conv.1.double_conv": (512, 512),
        "up1.conv.double_conv": (1024, 256),
        "up2.conv.double_conv": (512, 128),
        "up3.conv.double_conv": (256, 64),
        "up4.conv.double_conv": (128, 64),
    }
    expected = {"outc.conv.weight": (5, 64, 1, 1), "outc.conv.bias": (5,)}
    for name, (inputs, outputs) in blocks.items():
        for k, width in ((0, inputs), (3, outputs)):
            expected |= {f"{name}.{k}.weight": (outputs, width, 3, 3), f"{name}.{k}.bias": (outputs,)}
            for part in ("weight", "bias", "running_mean", "running_var"):
                expected[f"{name}.{k + 1}.{part}"] = (outputs,)
            expected[f"{name}.{k + 1}.num_batches_tracked"] = ()
    assert {name: tuple(value.shape) for name, value in state.items()} == expected


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (50, 23)])
def test_features_and_logits_have_the_size_of_the_image(size):
    net = L3UNet(2, 3, SMALL).eval()
    image = torch.rand(2, 2, *size)
    assert isinstance(net, FeatureNetwork)
    features = net.features(image)
    assert features.shape == (2, 4, *size)
    assert torch.equal(net.head(features, size), net(image))
    assert net(image).shape == (2, 3, *size)


def test_the_skip_comes_first_and_the_rest_is_padded_at_the_end():
    torch.manual_seed(0)
    net = L3UNet(1, 2, (3, 5)).eval()
    image = torch.rand(1, 1, 6, 5)
    skip = net.inc(image)
    below = net.down1.maxpool_conv[1](F.max_pool2d(skip, 2))  # 3 rows, 2 columns
    up = F.interpolate(below, size=(6, 4), mode="bilinear", align_corners=True)
    up = torch.cat([up, torch.zeros(1, 5, 6, 1)], dim=3)
    torch.testing.assert_close(net.features(image), net.up1.conv(torch.cat([skip, up], dim=1)))


def test_the_window_gives_the_numbers_that_the_study_saw():
    torch.manual_seed(0)
    raw, windowed = L3UNet(1, 2, (3, 5)).eval(), L3UNet(1, 2, (3, 5), window_hu=(-1000, 350)).eval()
    windowed.load_state_dict(raw.state_dict())
    hu = torch.empty(1, 1, 8, 8).uniform_(-1000, 350)
    expected = raw((hu + 653.2204) / 628.5188)
    torch.testing.assert_close(windowed((hu + 1000) / 1350), expected, atol=1e-5, rtol=1e-5)


def test_dropout_changes_no_name():
    plain, dropping = L3UNet(1, 2, SMALL), L3UNet(1, 2, SMALL, dropout=0.5)
    assert list(plain.state_dict()) == list(dropping.state_dict())
    assert sum(isinstance(m, torch.nn.Dropout2d) for m in dropping.modules()) == 6


@pytest.mark.parametrize("wrong", [{"num_classes": 1}, {"channels": (4,)}, {"window_hu": (50.0, -1000.0)}])
def test_wrong_settings(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        L3UNet(**wrong)


@pytest.mark.parametrize("shape", [(1, 2, 32, 32), (1, 1, 15, 32), (1, 1, 16, 16, 16)])
def test_images_of_another_kind(shape):
    with pytest.raises(ProbsegError, match=r"E_SHAPE_MISMATCH.*at least 16"):
        L3UNet(1, 2, SMALL)(torch.rand(shape))
