"""How the last layer of a network starts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["expected_logits"]


def expected_logits(num_classes: int, foreground: float) -> Tensor:
    """Logits of the expected shares of the classes, ``(classes,)``; a head whose bias starts so spares an epoch.

    Args:
        num_classes: background included, which is the first.
        foreground: expected share of all other classes together, above 0 and below 1; they share it equally.

    >>> expected_logits(3, 0.5).softmax(0)
    tensor([0.5000, 0.2500, 0.2500])
    """
    logits = torch.full((num_classes,), math.log(foreground / (num_classes - 1)))
    logits[0] = math.log(1 - foreground)
    return logits
