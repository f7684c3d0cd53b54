"""How likely labels and whole masks are under predicted class probabilities, groups and unknown included."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["every_label_log_likelihood", "label_log_likelihood", "mask_log_likelihood"]


def label_log_likelihood(log_probs: Tensor, labels: Tensor, admissible: Tensor, dim: int) -> Tensor:
    """Log of the total probability of the classes that each label admits, in nats.

    For a leaf it is the log-probability of the class, for a group that of the group, for ``unknown`` it is 0.

    Args:
        log_probs: normalised log-probabilities with the classes along ``dim``.
        labels: dense labels; broadcasts to the shape of ``log_probs`` without ``dim``.
        admissible: ``(labels, classes)`` bool, `LabelSet.admissible`.
        dim: the class axis of ``log_probs``, counted from the front.

    Returns:
        The shape of ``log_probs`` without ``dim``; at most 0.
    """
    shape = log_probs.shape[:dim] + log_probs.shape[dim + 1 :]
    labels = labels.long().expand(shape)
    every = every_label_log_likelihood(log_probs, admissible, dim)
    return every.gather(dim, labels.unsqueeze(dim)).squeeze(dim)


def every_label_log_likelihood(log_probs: Tensor, admissible: Tensor, dim: int) -> Tensor:
    """What `label_log_likelihood` gives for each label at once, in nats.

    Args:
        log_probs: normalised log-probabilities with the classes along ``dim``.
        admissible: ``(labels, classes)`` bool, `LabelSet.admissible`.
        dim: the class axis of ``log_probs``.

    Returns:
        The shape of ``log_probs`` with the labels along ``dim``; ``log_probs`` itself where every label is a leaf.
    """
    classes = log_probs.shape[dim]
    if len(admissible) == classes:
        return log_probs
    parts = [log_probs]
    for admitted in admissible[classes:]:
        if bool(admitted.all()):
            parts.append(torch.zeros_like(log_probs.narrow(dim, 0, 1)))
        else:
            members = log_probs.index_select(dim, admitted.nonzero().squeeze(1))
            parts.append(torch.logsumexp(members, dim=dim, keepdim=True))
    return torch.cat(parts, dim=dim)


def mask_log_likelihood(logits: Tensor, labels: Tensor, rated: Tensor, admissible: Tensor) -> Tensor:
    """Log-probability of each whole mask under each prediction, nats: the sum over the voxels that its rater rated.

    For leaves it is a product of two matrices, predictions by voxels and voxels by masks, so that nothing of the size
    ``samples x masks x voxels`` is made.

    Args:
        logits: ``(samples, batch, classes, *space)``.
        labels: ``(batch, masks, *space)`` dense labels; groups count by the total probability of their classes, unknown
            as certain.
        rated: the same shape, bool.
        admissible: ``(labels, classes)`` bool.

    Returns:
        ``(samples, batch, masks)`` float32, at most 0; 0 for a mask without a rated voxel.
    """
    logits = logits.float()
    classes = logits.shape[2]
    leaf = rated & (labels < classes)
    if classes == 2:
        total = _binary(logits[:, :, 1] - logits[:, :, 0], labels == 1, leaf)
    else:
        log_probs = torch.log_softmax(logits, dim=2).flatten(3)  # (samples, batch, classes, voxels)
        total = logits.new_zeros(logits.shape[0], *labels.shape[:2])
        for c in range(classes):
            chosen = (leaf & (labels == c)).flatten(2).to(log_probs.dtype)  # (batch, masks, voxels)
            total = total + torch.einsum("sbv,bmv->sbm", log_probs[:, :, c], chosen)
    if len(admissible) > classes and bool((rated & (labels >= classes)).any()):
        total = total + _groups(logits, labels, rated, admissible)
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


def _groups(logits: Tensor, labels: Tensor, rated: Tensor, admissible: Tensor) -> Tensor:
    """What the labels that are no leaf add."""
    log_probs = torch.log_softmax(logits, dim=2)
    parts = []
    for mask in range(labels.shape[1]):
        each = label_log_likelihood(log_probs, labels[:, mask], admissible, dim=2)
        wanted = rated[:, mask] & (labels[:, mask] >= logits.shape[2])
        parts.append(torch.where(wanted, each, 0.0).flatten(2).sum(dim=2))
    return torch.stack(parts, dim=2)
