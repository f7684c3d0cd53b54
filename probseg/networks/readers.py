"""Which weights of a network read the output of a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from probseg.networks.concrete_dropout import channel_axis

__all__ = ["LayerOutput", "Reader", "readers_of"]


@dataclass(frozen=True)
class Reader:
    """A convolution or linear layer, and which of its input channels come from the layer in question."""

    module: nn.Module
    channels: Tensor

    @property
    def squares(self) -> Tensor:
        """Sum of the squares of the weights that read those channels; of all weights where the module is grouped."""
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        if getattr(self.module, "groups", 1) > 1:
            return weight.square().sum()
        axis = 0 if isinstance(self.module, _ConvTransposeNd) else 1
        return weight.index_select(axis, self.channels).square().sum()


@dataclass(frozen=True)
class LayerOutput:
    """How many channels a layer gives, and who reads them."""

    channels: int
    readers: tuple[Reader, ...]


@torch.no_grad()
def readers_of(network: nn.Module, image: Tensor, layers: Sequence[nn.Module]) -> list[LayerOutput]:
    """For each of ``layers``, the convolutions and linear layers that its output enters without passing another one.

    Found by trying: the layer's output is replaced by NaN while every module with weights gives what it gave before, so
    that NaN gets as far as the layer's own readers, through pooling, resizing and concatenation, and no further.

    Args:
        network: changed by nothing; runs in evaluation mode.
        image: ``(batch, channels, *space)``; one small image will do.
        layers: modules of the network.
    """
    weighted = [m for m in network.modules() if isinstance(m, _ConvNd | nn.Linear)]
    modes = [(m, m.training) for m in network.modules()]
    network.eval()
    try:
        outputs = _outputs(network, image, weighted)
        return [_reached(network, image, layer, outputs) for layer in layers]
    finally:
        for module, training in modes:
            module.training = training


def _outputs(network: nn.Module, image: Tensor, weighted: Sequence[nn.Module]) -> dict[nn.Module, list[Tensor]]:
    outputs: dict[nn.Module, list[Tensor]] = {m: [] for m in weighted}

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[module].append(output.clone())  # a later layer may work in place

    _run(network, image, dict.fromkeys(weighted, keep))
    return outputs


def _reached(
    network: nn.Module, image: Tensor, layer: nn.Module, outputs: dict[nn.Module, list[Tensor]]
) -> LayerOutput:
    found: dict[nn.Module, Tensor] = {}
    calls = {module: iter(values) for module, values in outputs.items()}
    channels = 0

    def mark(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        nonlocal channels
        channels = output.shape[channel_axis(output)]
        return torch.full_like(output, math.nan)

    def stop(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        axis = args[0].ndim - 1 if isinstance(module, nn.Linear) else 1
        # a convolution of several inputs, such as JoiningConv2d, numbers their channels in turn
        touched = torch.cat([x.isnan().movedim(axis, 0).flatten(1).any(dim=1) for x in args])
        found[module] = found.get(module, torch.zeros_like(touched)) | touched
        return next(calls[module]).clone()

    _run(network, image, {layer: mark, **dict.fromkeys(outputs, stop)})
    readers = (Reader(module, touched.nonzero().squeeze(1)) for module, touched in found.items() if bool(touched.any()))
    return LayerOutput(channels, tuple(readers))


def _run(network: nn.Module, image: Tensor, hooks: dict[nn.Module, Any]) -> None:
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
