"""Focal loss: cross entropy that forgets what is predicted well already."""

from __future__ import annotations

from torch import Tensor

from probseg.errors import ProbsegError
from probseg.models.losses.base import WeightedLoss, mask_weight, voxel_log_likelihood
from probseg.models.targets import Target

__all__ = ["FocalLoss"]


class FocalLoss(WeightedLoss):
    """``-alpha_t (1 - p_t)^gamma log p_t`` averaged over rated voxels (Lin et al. 2017, arXiv:1708.02002, equation 5).

    p_t is the total probability of the classes that the label admits, so a group is well predicted when its mass is,
    and ``unknown`` costs nothing. ``class_weights`` are the paper's alpha; they are not divided out again, so twice the
    weights is twice the loss.

    Args:
        gamma: 0 is cross entropy; the paper's choice is 2.
        class_weights: alpha of each class; None for 1.
    """

    def __init__(self, gamma: float = 2.0, class_weights: list[float] | None = None) -> None:
        super().__init__(class_weights)
        if not gamma >= 0:
            raise ProbsegError("E_SCHEMA", f"gamma of FocalLoss must be at least 0, but is {gamma}")
        self.gamma = gamma

    def __call__(self, log_probs: Tensor, target: Target, admissible: Tensor) -> dict[str, Tensor]:
        """The entry ``loss``."""
        weight = mask_weight(target)
        likelihood = voxel_log_likelihood(log_probs, target, admissible)
        # log p of a group may come out a hair above 0, of which no fractional power is real
        missing = (-likelihood.expm1()).clamp(min=0)
        # the gradient of 0 ** gamma is infinite below 1: where nothing is missing there is nothing to learn
        factor = (missing.clamp(min=1e-12)) ** self.gamma
        of_label = self.label_weights(admissible)
        if of_label is not None:
            factor = factor * of_label[target.labels.long()]
        return {"loss": -(weight * factor * likelihood).sum() / weight.sum().clamp(min=1e-8)}
