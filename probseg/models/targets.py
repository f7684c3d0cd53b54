"""What the loss sees of several raters: one of them, all of them, or a fusion. Chosen by class path in YAML."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from probseg.batch import NOBODY, Batch
from probseg.errors import ProbsegError

__all__ = [
    "AverageRaters",
    "BalancedRater",
    "MajorityVote",
    "RandomRater",
    "Target",
    "TargetStrategy",
    "VirtualMask",
    "rater_losses",
]


@dataclass(frozen=True)
class Target:
    """One or several masks an image, with the share that each has in the loss.

    Attributes:
        labels: ``(batch, masks, *space)`` dense labels.
        rated: the same shape, bool; other voxels cost nothing.
        share: ``(batch, masks)``; sums to 1 over the masks of an image that has any rated voxel, else 0.
        rater: ``(batch, masks)`` int64: whose mask it is, as `probseg.batch.Batch.rater`; `NOBODY` for what is made of
            several. All `NOBODY` where it is not given.
    """

    labels: Tensor
    rated: Tensor
    share: Tensor
    rater: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int64))

    def __post_init__(self) -> None:
        if self.rater.numel() == 0:
            object.__setattr__(self, "rater", torch.full_like(self.share, NOBODY, dtype=torch.int64))


class TargetStrategy(ABC):
    """Turns the masks of a batch into the target of a step."""

    @abstractmethod
    def __call__(self, batch: Batch, num_classes: int) -> Target:
        """The target of this batch; may draw from torch's global random numbers."""


def _present(rated: Tensor) -> Tensor:
    """``(batch, raters)``: who rated any voxel of an image."""
    return rated.flatten(2).any(dim=2)


def _equal_share(rated: Tensor) -> Tensor:
    present = _present(rated).float()
    return present / present.sum(dim=1, keepdim=True).clamp(min=1)


def _one_mask(batch: Batch, weights: Tensor) -> Target:
    """One rater an image, drawn in proportion to ``weights`` ``(batch, raters)``; any where all of them are 0."""
    nobody = weights.sum(dim=1, keepdim=True) == 0
    chosen = torch.multinomial(weights + nobody, 1)  # (batch, 1)
    index = chosen.reshape(len(batch), 1, *(1,) * (batch.masks.ndim - 2)).expand(-1, 1, *batch.masks.shape[2:])
    rated = batch.rated.gather(1, index)
    return Target(batch.masks.gather(1, index), rated, _equal_share(rated), batch.rater.gather(1, chosen))


class AverageRaters(TargetStrategy):
    """Every rater counts alike: the expected loss over raters, which a soft label of their frequencies also gives."""

    def __call__(self, batch: Batch, num_classes: int) -> Target:
        """All masks, equal shares among the raters who rated anything."""
        return Target(batch.masks, batch.rated, _equal_share(batch.rated), batch.rater)


class RandomRater(TargetStrategy):
    """One rater an image and step, drawn uniformly among those who rated anything (Kohl et al. 2018)."""

    def __call__(self, batch: Batch, num_classes: int) -> Target:
        """One mask an image."""
        return _one_mask(batch, _equal_share(batch.rated))


class BalancedRater(TargetStrategy):
    """One rater an image and step, the rarer the rater the likelier, so that nobody who rated much dominates.

    Among those who rated anything of the image, rater r is drawn with probability proportional to 1 / n_r, n_r being
    the number of training examples of which r rated something. A rater whose images nobody else rated is drawn every
    time all the same; with ``data.weights: probseg.data.weights.EqualRaters`` the images are drawn so that every rater
    has exactly the same share of all draws.
    """

    def __call__(self, batch: Batch, num_classes: int) -> Target:
        """One mask an image; E_UNSTABLE_RATERS where the data do not say who drew it."""
        present = _present(batch.rated)
        if bool((present & (batch.workload < 1)).any()):
            raise ProbsegError(
                "E_UNSTABLE_RATERS",
                "BalancedRater needs raters who are the same person in every case, but this data set does not say who "
                "drew a mask; use probseg.models.RandomRater",
            )
        return _one_mask(batch, present / batch.workload.clamp(min=1))


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


class VirtualMask(TargetStrategy):
    """The mask of a virtual rater, such as STAPLE's estimate of the truth from the whole case.

    Args:
        virtual_rater: its name; ``data.virtual_raters`` must have it, as `probseg.data.virtual_raters.Staple`.
    """

    def __init__(self, virtual_rater: str = "STAPLE") -> None:
        self.virtual_rater = virtual_rater

    def __call__(self, batch: Batch, num_classes: int) -> Target:
        """One mask an image; E_UNKNOWN_RATER where the data have no such virtual rater."""
        if self.virtual_rater not in batch.virtual:
            raise ProbsegError(
                "E_UNKNOWN_RATER",
                f"the data have no virtual rater '{self.virtual_rater}', but {', '.join(batch.virtual) or 'none'}; "
                "add it to data.virtual_raters, for example probseg.data.virtual_raters.Staple",
            )
        k = batch.virtual.index(self.virtual_rater)
        rated = batch.virtual_rated[:, k : k + 1]
        return Target(batch.virtual_masks[:, k : k + 1], rated, _equal_share(rated))


@torch.no_grad()
def rater_losses(likelihood: Tensor, target: Target, names: tuple[str, ...]) -> dict[str, Tensor]:
    """How well each known rater is predicted in this step, for the log: ``rater_NAME`` to nats a rated voxel.

    Args:
        likelihood: ``(batch, masks, *space)`` log-likelihood of the target's masks.
        target: of the step.
        names: of the raters by number, `probseg.records.DatasetInfo.raters`; empty where they are not stable.

    Returns:
        Mean cross entropy over the voxels that the rater rated; raters without any in this step have no entry.
    """
    if not names:
        return {}
    rated = target.rated.flatten(2)
    sums = torch.where(rated, -likelihood.flatten(2), 0.0).sum(dim=2).flatten()  # (batch * masks,)
    known = (target.rater >= 0) & (target.rater < len(names))
    place = torch.where(known, target.rater, len(names)).flatten()  # nobody's go behind the last
    totals = sums.new_zeros(len(names) + 1).index_add(0, place, sums)
    voxels = sums.new_zeros(len(names) + 1).index_add(0, place, rated.sum(dim=2).flatten().to(sums))
    seen = (voxels[: len(names)] > 0).nonzero().flatten().tolist()
    return {f"rater_{names[r]}": totals[r] / voxels[r] for r in seen}
