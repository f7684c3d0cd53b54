"""Dropout left awake at prediction: each mask of dropped channels is a draw of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.deterministic import Deterministic

__all__ = ["MonteCarloDropout"]


class MonteCarloDropout(Deterministic):
    """A network with dropout, trained as `Deterministic`, of which every draw drops other channels.

    Gal and Ghahramani (2016), arXiv:1506.02142. Draw k drops the same channels for every image, slice and window.
    Whole channels are dropped, also where a layer drops single elements in training: a mask tied to positions would
    be another function in each window. All other layers stay in evaluation mode.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not any(layer.p > 0 for layer in _dropout_layers(self.network)):
            raise ProbsegError(
                "E_SCHEMA", "MonteCarloDropout needs a network with dropout; set dropout of the network above 0"
            )

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """``draws.count`` models of one reading each."""
        logits = []
        for k in range(draws.count):
            with channels_dropped(self.network, draws, k):
                logits.append(self.network(image))
        return SegmentationDistribution(torch.stack(logits)[:, None])


def _dropout_layers(network: nn.Module) -> list[_DropoutNd]:
    return [m for m in network.modules() if isinstance(m, _DropoutNd)]  # Dropout2d is no subclass of Dropout


@contextmanager
def channels_dropped(network: nn.Module, draws: Draws, draw: int) -> Iterator[None]:
    """Within this block every dropout layer drops the channels of draw ``draw``; no mode or buffer changes."""
    modes = [(layer, layer.training) for layer in _dropout_layers(network)]

    def hook(position: int, p: float) -> Any:
        def drop(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = args[0]
            kept = torch.rand(x.shape[1], generator=draws.generator(draw, position)) >= p
            scale = (kept / (1 - p)).to(device=x.device, dtype=x.dtype)
            return x * scale.reshape(1, -1, *(1,) * (x.ndim - 2))

        return drop

    handles = [
        layer.register_forward_hook(hook(position, layer.p))
        for position, (layer, _) in enumerate(modes)
        if 0 < layer.p < 1
    ]
    try:
        for layer, _ in modes:
            layer.eval()
        yield
    finally:
        for handle in handles:
            handle.remove()
        for layer, training in modes:
            layer.train(training)
