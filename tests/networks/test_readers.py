"""Who reads a layer's output, through whatever lies between."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probseg.networks import UNet
from probseg.networks.readers import readers_of


class Branched(nn.Module):
    """A dropout that is read directly, through pooling in a concatenation, and by a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.drop = nn.Dropout2d(0.5)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.joined = nn.Conv2d(7, 5, 1)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.after = nn.Conv2d(5, 2, 1)
        self.unread = nn.Conv2d(1, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        dropped = self.drop(self.first(x))
        low = self.pool(torch.relu_(self.norm(dropped)))
        joined = self.joined(torch.cat([self.pool(self.unread(x)), low], dim=1))
        return self.after(torch.relu_(joined)).mean() + self.up(dropped).mean()


def test_readers_and_their_channels():
    torch.manual_seed(0)
    net = Branched().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    (output,) = readers_of(net, torch.rand(1, 1, 8, 8), [net.drop])
    found = {reader.module: reader for reader in output.readers}
    assert output.channels == 4
    assert set(found) == {net.joined, net.up}
    assert found[net.joined].channels.tolist() == [3, 4, 5, 6]
    torch.testing.assert_close(found[net.joined].squares, net.joined.weight[:, 3:].square().sum())
    assert found[net.up].channels.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(found[net.up].squares, net.up.weight.square().sum())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(m.training and not m._forward_hooks for m in net.modules())


def test_a_grouped_convolution_counts_whole_and_a_linear_layer_by_its_last_axis():
    net = nn.Sequential(nn.Dropout2d(), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(), nn.Dropout(), nn.Linear(16, 2))
    first, second = readers_of(net, torch.rand(1, 4, 2, 2), [net[0], net[3]])
    assert [r.module for r in first.readers] == [net[1]]
    torch.testing.assert_close(first.readers[0].squares, net[1].weight.square().sum())
    assert (second.channels, second.readers[0].channels.tolist()) == (16, list(range(16)))


def test_every_dropout_of_the_unet_is_read():
    net = UNet(1, 3, (4, 8, 12), dropout=0.3)
    layers = [m for m in net.modules() if isinstance(m, nn.Dropout2d)]
    outputs = readers_of(net, torch.rand(1, 1, 16, 16), layers)
    names = {m: n for n, m in net.named_modules()}
    assert [o.channels for o in outputs] == [8, 12, 8, 4]
    read = [[(names[r.module].rpartition(".")[0], len(r.channels)) for r in o.readers] for o in outputs]
    # the middle level is read by the deepest and, beside it, by the decoder; the last by the head
    assert read == [[("down.2", 8), ("up.0", 8)], [("up.0", 12)], [("up.1", 8)], [("", 4)]]
