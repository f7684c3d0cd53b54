"""A convolution and the batch norm behind it, as one convolution where nothing is learnt."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from probseg.networks.upsampling import JoiningConv2d, JoiningConv3d

__all__ = ["normalised"]


def normalised(convolution: nn.Module, norm: nn.Module, *inputs: Tensor) -> Tensor:
    """``norm(convolution(*inputs))``.

    In inference mode batch norm is a factor and an offset a channel, so the convolution has them in its weights
    (Jacob et al. 2018, arXiv:1712.05877, section 3.2) and its output is passed over once less. The weights are made at
    each call, which costs nothing beside the convolution and knows no weights that are no longer true.

    Args:
        convolution: 3 x 3 with padding 1 and of one group, or a joining one.
        norm: of any kind.
        inputs: of the convolution.
    """
    if not _can_be_one(convolution, norm):
        out: Tensor = norm(convolution(*inputs))
        return out
    assert isinstance(norm, _BatchNorm) and norm.running_mean is not None and norm.running_var is not None
    factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    assert isinstance(convolution.weight, Tensor)  # SWAG's are no parameters
    weight = convolution.weight * factor.reshape(-1, *(1,) * (convolution.weight.ndim - 1))
    bias = norm.bias - norm.running_mean * factor
    if isinstance(convolution, JoiningConv2d | JoiningConv3d):
        below, skip = inputs
        return convolution.joined(below, skip, weight, bias)
    (x,) = inputs
    return F.conv2d(x, weight, bias, padding=1) if weight.ndim == 4 else F.conv3d(x, weight, bias, padding=1)


def _can_be_one(convolution: nn.Module, norm: nn.Module) -> bool:
    """Whether the norm's statistics are fixed and nobody (a hook, a replay) wants to see the two apart."""
    return (
        not torch.compiler.is_compiling()  # which does the same, and would stop at what follows
        and torch.is_inference_mode_enabled()
        and isinstance(norm, _BatchNorm)
        and not norm.training
        and norm.running_var is not None
        and not any(m._forward_hooks or m._forward_pre_hooks or "forward" in m.__dict__ for m in (convolution, norm))
    )
