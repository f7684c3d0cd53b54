"""A rater's mask as a posterior network sees it."""

from __future__ import annotations

import torch
from torch import Tensor

from probseg.models.targets import Target

__all__ = ["mask_channels"]


def mask_channels(target: Target, admissible: Tensor) -> Tensor:
    """Masks as one channel a class, less 1/2 as in Kohl et al. (2018), so that they are centred.

    A leaf is 1 in its own class; a group is spread evenly over its classes; what is unknown or not rated over all.

    Args:
        target: of a batch.
        admissible: ``(labels, classes)`` bool.

    Returns:
        ``(batch, masks, classes, *space)`` float32.
    """
    allowed = admissible.float()
    share = (allowed / allowed.sum(dim=1, keepdim=True))[target.labels.long()].movedim(-1, 2)
    return torch.where(target.rated.unsqueeze(2), share, 1.0 / admissible.shape[1]) - 0.5
