"""How likely whole masks are under each of several predictions, without holding a map for every pair of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from probseg.distribution import label_log_likelihood
from probseg.models.targets import Target

__all__ = ["mask_log_likelihood"]


def mask_log_likelihood(logits: Tensor, target: Target, admissible: Tensor) -> Tensor:
    """Log-probability of each whole mask under each prediction, nats: the sum over the voxels that its rater rated.

    For leaves it is a product of two matrices, predictions by voxels and voxels by masks, so that nothing of the size
    ``samples x masks x voxels`` is made.

    Args:
        logits: ``(samples, batch, classes, *space)``.
        target: masks of the batch; groups count by the total probability of their classes, unknown as certain.
        admissible: ``(labels, classes)`` bool.

    Returns:
        ``(samples, batch, masks)`` float32, at most 0; 0 for a mask without a rated voxel.
    """
    logits = logits.float()
    classes = logits.shape[2]
    leaf = target.rated & (target.labels < classes)
    if classes == 2:
        total = _binary(logits[:, :, 1] - logits[:, :, 0], target.labels == 1, leaf)
    else:
        log_probs = torch.log_softmax(logits, dim=2).flatten(3)  # (samples, batch, classes, voxels)
        total = logits.new_zeros(logits.shape[0], *target.share.shape)
        for c in range(classes):
            chosen = (leaf & (target.labels == c)).flatten(2).to(log_probs.dtype)  # (batch, masks, voxels)
            total = total + torch.einsum("sbv,bmv->sbm", log_probs[:, :, c], chosen)
    if len(admissible) > classes and bool((target.rated & (target.labels >= classes)).any()):
        total = total + _groups(logits, target, admissible)
    return total


def _binary(difference: Tensor, drawn: Tensor, rated: Tensor) -> Tensor:
    """With d the difference of the logits, log p is d - softplus(d) for class 1 and -softplus(d) for class 0."""
    d = difference.flatten(2)  # (samples, batch, voxels)
    ones = (drawn & rated).flatten(2).to(d.dtype)
    looked = rated.flatten(2)
    total = torch.einsum("sbv,bmv->sbm", d, ones)
    if bool(looked.all()):  # the same sum for every mask
        return total - F.softplus(d).sum(dim=2, keepdim=True)
    return total - torch.einsum("sbv,bmv->sbm", F.softplus(d), looked.to(d.dtype))


def _groups(logits: Tensor, target: Target, admissible: Tensor) -> Tensor:
    """What the labels that are no leaf add."""
    log_probs = torch.log_softmax(logits, dim=2)
    parts = []
    for mask in range(target.labels.shape[1]):
        labels, rated = target.labels[:, mask], target.rated[:, mask]
        each = label_log_likelihood(log_probs, labels, admissible, dim=2)
        wanted = rated & (labels >= logits.shape[2])
        parts.append(torch.where(wanted, each, 0.0).flatten(2).sum(dim=2))
    return torch.stack(parts, dim=2)
