"""Dropout that learns how much it drops."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from probseg.errors import ProbsegError

__all__ = ["ConcreteDropout", "channel_axis", "make_concrete"]


def channel_axis(x: Tensor) -> int:
    """The axis of the channels: the last of ``(batch, channels)`` and ``(batch, tokens, channels)``, else axis 1."""
    return x.ndim - 1 if x.ndim <= 3 else 1


class ConcreteDropout(nn.Module):
    """Channel dropout whose probability p is learnt (Gal, Hron and Kendall 2017, arXiv:1705.07832).

    In training each channel of each image is kept by 1 - z, a smooth stand-in for a coin toss through which a gradient
    reaches p (equation 5 of the paper, t the temperature):

        z = sigmoid((log p - log(1 - p) + log u - log(1 - u)) / t),   u uniform on 0..1,

    and divided by 1 - p, so that its expectation is that of the input for small t. In evaluation it changes nothing.

    Args:
        p: probability of dropping a channel at the start.
        temperature: t; the paper's 0.1.
    """

    def __init__(self, p: float = 0.1, temperature: float = 0.1) -> None:
        super().__init__()
        if not 0 < p < 1 or not temperature > 0:
            raise ProbsegError(
                "E_SCHEMA",
                f"ConcreteDropout needs p within 0 to 1 and temperature above 0, but they are {p} and {temperature}",
            )
        self.start = p
        self.temperature = temperature
        self.logit = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start at the given probability."""
        nn.init.constant_(self.logit, math.log(self.start) - math.log1p(-self.start))

    @property
    def p(self) -> float:
        """The probability as it is now."""
        return float(self.logit.detach().sigmoid())

    @property
    def entropy(self) -> Tensor:
        """Entropy of one coin toss, nats: 0 where a channel is always kept or always dropped, log 2 at p = 1/2."""
        each = torch.stack([self.logit, -self.logit])
        return -(each.sigmoid() * nn.functional.logsigmoid(each)).sum()

    @property
    def kept(self) -> Tensor:
        """1 - p, with its gradient."""
        return (-self.logit).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, *space)`` to the same shape."""
        if not self.training:
            return x
        axis = channel_axis(x)
        shape = [n if k in (0, axis) else 1 for k, n in enumerate(x.shape)]
        uniform = torch.rand(shape, device=x.device).clamp(1e-7, 1 - 1e-7)
        dropped = ((self.logit + uniform.logit()) / self.temperature).sigmoid()
        return x * ((1 - dropped) / self.kept).to(x.dtype)


def make_concrete(network: nn.Module) -> list[ConcreteDropout]:
    """Replace every dropout layer of a network that drops anything by a concrete one that starts at its p.

    The one place where a network is changed after it was made: the rest of it stays, names included.
    """
    made = []
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _DropoutNd) and child.p > 0:
                concrete = ConcreteDropout(child.p)
                setattr(parent, name, concrete)
                made.append(concrete)
    return made
