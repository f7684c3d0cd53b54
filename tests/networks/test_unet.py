"""The U-Net: shapes whatever the size, an honest start, one network however it is taken apart."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from probseg.errors import ProbsegError
from probseg.networks import DeepNetwork, FeatureNetwork, UNet


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
    "wrong",
    [
        {"dimensions": 4},
        {"num_classes": 1},
        {"foreground": 0.0},
        {"foreground": 1.0},
        {"channels": (4,)},
        {"block": "dense"},
        {"norm": "layer"},
    ],
)
def test_wrong_settings(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        UNet(**wrong)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8, 8), (1, 2, 8, 8)])
def test_images_of_another_kind(shape):
    with pytest.raises(ProbsegError, match=r"E_SHAPE_MISMATCH.*2 dimensions and 1 channels"):
        UNet(1, 2, (4, 8))(torch.rand(shape))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_names_and_shapes_of_the_weights_stay(dimensions):
    state = {name: tuple(value.shape) for name, value in UNet(1, 3, (4, 6, 8), dimensions).state_dict().items()}
    patch, k = 2**dimensions, (3,) * dimensions
    assert {n: s for n, s in state.items() if len(s) > 1} == {
        "down.0.0.weight": (4, patch, *k),
        "down.0.3.weight": (4, 4, *k),
        "down.1.0.weight": (6, 4, *k),
        "down.1.3.weight": (6, 6, *k),
        "down.2.0.weight": (8, 6, *k),
        "down.2.3.weight": (8, 8, *k),
        "up.0.0.weight": (6, 14, *k),
        "up.0.3.weight": (6, 6, *k),
        "up.1.0.weight": (4, 10, *k),
        "up.1.3.weight": (4, 4, *k),
        "classify.weight": (3 * patch, 4, *(1,) * dimensions),
    }
    norms = {f"{part}.{k}.{i}" for part, n in (("down", 3), ("up", 2)) for k in range(n) for i in (1, 4)}
    assert {n.rpartition(".")[0] for n, s in state.items() if len(s) < 2} == norms | {"classify"}


def test_equal_to_the_network_as_it_is_drawn_in_the_paper():
    torch.manual_seed(0)
    net = UNet(1, 2, (4, 6, 8)).double()
    image = torch.rand(2, 1, 16, 16, dtype=torch.float64)

    def level(block, x):
        first, *others = block
        x = F.conv2d(x, first.weight, padding=1)
        for layer in others:
            x = layer(x)
        return x

    a = level(net.down[0], F.pixel_unshuffle(image, 2))
    b = level(net.down[1], F.max_pool2d(a, 2))
    c = level(net.down[2], F.max_pool2d(b, 2))
    b = level(net.up[0], torch.cat([F.interpolate(c, scale_factor=2), b], dim=1))
    a = level(net.up[1], torch.cat([F.interpolate(b, scale_factor=2), a], dim=1))
    torch.testing.assert_close(net(image), F.pixel_shuffle(net.classify(a), 2))


@pytest.mark.parametrize("deep", [False, True])
def test_no_grid_shows_at_the_start(deep):
    torch.manual_seed(0)
    net = UNet(1, 3, (4, 6, 8), deep_supervision=deep).eval()
    for logits in net.deep_logits(torch.rand(1, 1, 16, 16)):
        corners = logits[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2)
        assert torch.equal(logits, corners)
        assert logits.std() > 0.01  # and yet it is not constant


@pytest.mark.parametrize("block", ["plain", "residual"])
@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("space", [(9, 13), (8, 9, 10)])
def test_every_kind_of_level_learns(block, norm, space):
    torch.manual_seed(0)
    net = UNet(1, 2, (4, 8), len(space), block=block, norm=norm)
    image = torch.rand(2, 1, *space)
    net(image)[:, 1].sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in net.up.parameters())


@pytest.mark.parametrize("space", [(16, 16), (13, 6), (9, 4, 7)])
def test_deep_supervision_has_a_head_at_each_level_of_the_decoder(space):
    torch.manual_seed(0)
    net = UNet(1, 3, (4, 6, 8, 10), len(space), deep_supervision=True).eval()
    image = torch.rand(2, 1, *space)
    levels = net.deep_logits(image)
    assert isinstance(net, DeepNetwork)
    assert [tuple(x.shape) for x in levels] == [(2, 3, *(-(-n // 2**k) for n in space)) for k in range(3)]
    assert torch.equal(levels[0], net(image))
    plain = UNet(1, 3, (4, 6, 8, 10), len(space)).eval()
    assert [torch.equal(x, plain(image)) for x in plain.deep_logits(image)] == [True]
    assert not [name for name in plain.state_dict() if "coarser" in name]
