"""Dice loss: overlap instead of voxel-wise likelihood, blind to how much background there is."""

from __future__ import annotations

import torch
from torch import Tensor

from probseg.errors import ProbsegError
from probseg.models.losses.base import WeightedLoss
from probseg.models.targets import Target

__all__ = ["DiceLoss"]


class DiceLoss(WeightedLoss):
    """One minus the soft Dice coefficient of each foreground class (Milletari et al. 2016, arXiv:1606.04797; linear).

        D_c = (2 sum_v p_cv y_cv + smooth) / (sum_v p_cv + sum_v y_cv + smooth),

    summed over the rated voxels v of one image and one mask; then averaged over classes by weight, over the masks of
    an image by their share, and over images. Every rater's mask has a Dice of its own; they are not averaged first.

    Where a label leaves it open whether a voxel is class c, the voxel is left out of D_c: a group's voxels out of
    those of its classes, ``unknown`` out of all. A group that a mask uses has a Dice of its own: p is then the total
    probability of its classes, and y what the mask labels with the group or one of them.

    Args:
        smooth: added above and below, in voxels. A class that is neither drawn nor predicted then has Dice 1, and one
            that is predicted in vain still has a gradient that leads to 0; a tiny value would leave none.
        class_weights: of all classes, background included, which a weight above 0 takes into the mean; None for 1 each
            and 0 for background.
    """

    def __init__(self, smooth: float = 1.0, class_weights: list[float] | None = None) -> None:
        super().__init__(class_weights)
        if not smooth > 0:
            raise ProbsegError("E_SCHEMA", f"smooth of DiceLoss must be above 0, but is {smooth}")
        self.smooth = smooth

    def __call__(self, log_probs: Tensor, target: Target, admissible: Tensor) -> dict[str, Tensor]:
        """The entry ``loss``."""
        classes = log_probs.shape[1]
        weights = self.label_weights(admissible)
        if weights is None:
            weights = torch.ones(len(admissible), device=log_probs.device)
            weights[0] = 0
        probs = log_probs.exp().unsqueeze(1)  # (batch, 1, classes, *space)
        labels = target.labels.long()
        total = torch.zeros_like(target.share)
        weight_sum = torch.zeros_like(target.share)
        skipped = ((weights == 0) | admissible.all(dim=1)).tolist()  # unknown is no structure
        for s, members in enumerate(admissible):
            if skipped[s]:
                continue
            inside = ~(admissible & ~members).any(dim=1)  # (labels,): only classes of this one
            outside = ~(admissible & members).any(dim=1)
            counts = (target.rated & (inside | outside)[labels]).to(probs)
            mass = (probs[:, :, s] if s < classes else probs[:, :, members].sum(dim=2)) * counts
            drawn = inside[labels] * counts
            above = 2 * (mass * drawn).flatten(2).sum(dim=2) + self.smooth
            below = (mass + drawn).flatten(2).sum(dim=2) + self.smooth  # (batch, masks)
            used = weights[s] * ((labels == s) & target.rated).flatten(2).any(dim=2) if s >= classes else weights[s]
            total = total + used * (1 - above / below)
            weight_sum = weight_sum + used
        each = total / weight_sum
        return {"loss": (each * target.share).sum() / target.share.sum().clamp(min=1e-8)}
