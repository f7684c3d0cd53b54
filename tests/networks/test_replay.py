"""What comes before the layers that change is asked once, and the answer is the whole network's."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn
from torch.nn import functional as F

from probseg.networks import PSPNet, UNet
from probseg.networks.replay import Replayed


class Scale(nn.Module):
    """Stands for a dropout layer: another factor in each draw."""

    factor = 1.0

    def forward(self, x):
        return x * self.factor


class Overwriting(nn.Module):
    """Changes what its modules gave, in every way that networks of other libraries do."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.relu = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.second, self.scale, self.last = nn.Conv2d(4, 4, 3, padding=1), Scale(), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        y = self.relu(self.norm(self.first(x)))
        y += 1
        z = F.relu(self.second(y), inplace=True)
        y *= 0.5
        z += y
        return self.last(self.scale(z))


def whole_and_replayed(network, layer, draws=4):
    image = torch.rand(2, 1, 32, 32)
    replayed, pairs = Replayed(network, [layer]), []
    with torch.no_grad():
        for k in range(draws):
            layer.factor = 1.0 + k
            pairs.append((network(image), replayed(image)))
    return pairs


def with_scale_at_the_end(network):
    network.up[-1].append(Scale())
    return network, network.up[-1][-1]


def inside_monai():
    network, layer = BasicUNet(2, 1, 2, features=(8, 8, 8, 8, 8, 8)), Scale()
    network.upcat_2.convs.conv_1.adn.D = layer
    return network, layer


def in_the_middle():
    network = UNet(1, 2, (8, 12, 16), dropout=0.1)
    layer = Scale()
    network.down[1][-1] = layer
    return network, layer


def overwriting():
    network = Overwriting()
    return network, network.scale


NETWORKS = {
    "plain": lambda: with_scale_at_the_end(UNet(1, 2, (8, 12, 16))),
    "in the middle": in_the_middle,
    "MONAI's": inside_monai,
    "overwriting": overwriting,
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())
def test_the_same_answer_bit_by_bit(make):
    torch.manual_seed(0)
    network, layer = make()
    pairs = whole_and_replayed(network.eval(), layer)
    assert not torch.equal(pairs[0][0], pairs[1][0])  # the layer matters
    for whole, replayed in pairs:
        assert torch.equal(whole, replayed)


def test_what_comes_before_is_asked_once():
    network, layer = with_scale_at_the_end(UNet(1, 2, (8, 12, 16)))
    asked = []
    for name in ("down.0", "down.2", "up.0", "up.1.0"):
        network.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: asked.append(name))
    convolutions = []
    for module in network.modules():
        if type(module) is nn.Conv2d and module is not network.classify:
            own = module.forward
            module.forward = lambda x, own=own: convolutions.append(0) or own(x)
    network.eval()
    replayed = Replayed(network, [layer])
    with torch.inference_mode():
        for k in range(3):
            layer.factor = float(k)
            replayed(torch.rand(1, 1, 16, 16))
    assert len(convolutions) == 8  # two a level of the encoder, one of two a level of the decoder joins; of one call


def test_modules_have_their_own_forward_again():
    network, layer = overwriting()
    replaced = network.norm.forward = lambda x: x * 2  # somebody's own
    replayed = Replayed(network.eval(), [layer])
    with torch.inference_mode(), pytest.raises(RuntimeError):
        replayed(torch.rand(1, 3, 8, 8))  # three channels: an error in the middle
    assert network.norm.forward is replaced
    assert not any("forward" in m.__dict__ for m in network.modules() if m is not network.norm)


def test_nothing_to_replay():
    network = PSPNet(1, 2, (8, 8, 8, 8), (1, 1, 1, 1), width=8).eval()
    image = torch.rand(1, 1, 24, 24)
    first = next(m for m in network.modules() if not list(m.children()))
    with torch.inference_mode():
        replayed = Replayed(network, [first])
        assert torch.equal(replayed(image), network(image)) and torch.equal(replayed(image), network(image))
