"""Soft labels: the raters' class distribution at each voxel is the target."""

from __future__ import annotations

import torch
from torch import Tensor

from probseg.models.losses.base import WeightedLoss, mask_weight, voxel_log_likelihood
from probseg.models.targets import Target

__all__ = ["SoftLabelLoss", "class_distribution"]


class SoftLabelLoss(WeightedLoss):
    """Kullback-Leibler divergence of the prediction from the raters' soft label (Law et al. 2022, Academic Radiology).

        KL(t || p) = sum over classes of t_c (log t_c - log p_c),

    averaged over the voxels that anybody rated, nats. t is the share of raters for each class, counted among the
    raters of that voxel; so 0 means that the prediction is the raters' distribution, where cross entropy has the
    raters' own entropy as its unknown least value. A rater who drew a group, or ``unknown``, splits the vote over its
    classes as the prediction does, and the split is not learnt from: the gradient is that of the group's
    log-likelihood, and ``unknown`` alone costs nothing.

    With class weights a voxel weighs the mean of what its raters' labels weigh. The soft label needs a target with all
    masks, `probseg.models.AverageRaters`; against one mask of leaves the divergence is cross entropy.
    """

    def __call__(self, log_probs: Tensor, target: Target, admissible: Tensor) -> dict[str, Tensor]:
        """The entry ``loss``."""
        soft, rated = class_distribution(log_probs, target, admissible)
        divergence = (torch.special.xlogy(soft, soft) - soft * log_probs).sum(dim=1)  # (batch, *space)
        weight = rated.to(log_probs)
        of_label = self.label_weights(admissible)
        if of_label is not None:
            of_mask = mask_weight(target)
            of_voxel = (of_mask * of_label[target.labels.long()]).sum(dim=1)
            weight = of_voxel / of_mask.sum(dim=1).clamp(min=1e-8)
        return {"loss": (weight * divergence).sum() / weight.sum().clamp(min=1e-8)}


@torch.no_grad()
def class_distribution(log_probs: Tensor, target: Target, admissible: Tensor) -> tuple[Tensor, Tensor]:
    """The raters' class distribution at each voxel, and where there is one.

    Returns:
        ``(batch, classes, *space)``, which sums to 1 over classes where rated and to 0 elsewhere, and
        ``(batch, *space)`` bool, where anybody rated.
    """
    weight = mask_weight(target)
    total = weight.sum(dim=1)
    log_mass = voxel_log_likelihood(log_probs, target, admissible)  # (batch, masks, *space)
    soft = torch.zeros_like(log_probs)
    for m in range(target.labels.shape[1]):
        allowed = admissible[target.labels[:, m].long()].movedim(-1, 1)  # (batch, classes, *space)
        vote = torch.where(allowed, (log_probs - log_mass[:, m : m + 1]).exp(), 0.0)
        soft += weight[:, m : m + 1] * vote
    return soft / total.unsqueeze(1).clamp(min=1e-8), total > 0
