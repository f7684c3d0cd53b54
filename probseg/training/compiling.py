"""The network of a model compiled by torch for its training steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from probseg.models import SegmentationModule

__all__ = ["compile_networks"]

# What families call of a network; see `probseg.networks.protocol`.
_CALLED = ("forward", "features", "head", "pyramid", "deep_logits")


def compile_networks(model: SegmentationModule, backend: str = "inductor") -> None:
    """Compile what the family calls of its network, and those of the models inside it.

    Only training steps are compiled. Draws at validation switch dropout layers by hooks, which compiled code would not
    see. The weights keep their names, so checkpoints are the same with and without.

    Args:
        model: before its training.
        backend: of `torch.compile`; ``inductor`` needs a C++ compiler on the processor.
    """
    networks = {id(part.network): part.network for part in model.modules() if isinstance(part, SegmentationModule)}
    for network in networks.values():
        for name in _CALLED:
            plain = getattr(network, name, None)
            if callable(plain):
                setattr(network, name, _in_training(network, plain, torch.compile(plain, backend=backend)))


def _in_training(network: nn.Module, plain: Callable[..., Any], compiled: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return (compiled if network.training else plain)(*args, **kwargs)

    return call
