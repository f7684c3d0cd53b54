"""What the loss sees of several raters: one of them, all of them, or their vote. Chosen by class path in YAML."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from probseg.batch import Batch

__all__ = ["AverageRaters", "MajorityVote", "RandomRater", "Target", "TargetStrategy"]


@dataclass(frozen=True)
class Target:
    """One or several masks an image, with the share that each has in the loss.

    Attributes:
        labels: ``(batch, masks, *space)`` dense labels.
        rated: the same shape, bool; other voxels cost nothing.
        share: ``(batch, masks)``; sums to 1 over the masks of an image that has any rated voxel, else 0.
    """

    labels: Tensor
    rated: Tensor
    share: Tensor


class TargetStrategy(ABC):
    """Turns the masks of a batch into the target of a step."""

    @abstractmethod
    def __call__(self, batch: Batch, num_classes: int) -> Target:
        """The target of this batch; may draw from torch's global random numbers."""


def _equal_share(rated: Tensor) -> Tensor:
    present = rated.flatten(2).any(dim=2).float()
    return present / present.sum(dim=1, keepdim=True).clamp(min=1)


class AverageRaters(TargetStrategy):
    """Every rater counts alike: the expected loss over raters, which a soft label of their frequencies also gives."""

    def __call__(self, batch: Batch, num_classes: int) -> Target:
        """All masks, equal shares among the raters who rated anything."""
        return Target(batch.masks, batch.rated, _equal_share(batch.rated))


class RandomRater(TargetStrategy):
    """One rater an image and step, drawn uniformly among those who rated anything (Kohl et al. 2018)."""

    def __call__(self, batch: Batch, num_classes: int) -> Target:
        """One mask an image."""
        share = _equal_share(batch.rated)
        nobody = share.sum(dim=1, keepdim=True) == 0
        chosen = torch.multinomial(share + nobody, 1)  # (batch, 1)
        index = chosen.reshape(len(batch), 1, *(1,) * (batch.masks.ndim - 2)).expand(-1, 1, *batch.masks.shape[2:])
        rated = batch.rated.gather(1, index)
        return Target(batch.masks.gather(1, index), rated, _equal_share(rated))


class MajorityVote(TargetStrategy):
    """The class that most raters chose; a tie goes to the lower class. Labels that are no leaf do not vote."""

    def __call__(self, batch: Batch, num_classes: int) -> Target:
        """One mask an image; rated where at least one leaf vote was cast."""
        votes = torch.stack(
            [((batch.masks == c) & batch.rated).sum(dim=1) for c in range(num_classes)], dim=1
        )  # (batch, classes, *space)
        order = torch.arange(num_classes, 0, -1, device=votes.device).reshape(1, -1, *(1,) * (votes.ndim - 2))
        labels = (votes * (num_classes + 1) + order).argmax(dim=1, keepdim=True)
        rated = votes.sum(dim=1, keepdim=True) > 0
        return Target(labels, rated, _equal_share(rated))
