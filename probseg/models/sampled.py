"""What training sees of the samples that prediction will draw: as a mixture of whole masks, and by their mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from probseg.likelihood import mask_log_likelihood
from probseg.models.targets import Target

__all__ = ["mask_mixture", "mean_cross_entropy"]


def mask_mixture(logits: Tensor, target: Target, admissible: Tensor) -> Tensor:
    """Negative log-likelihood of whole masks under the equally weighted mixture of samples, nats an image.

    ``-log 1/K sum_k p(y | x, sample k)``, the objective of Monteiro et al. (2020, arXiv:2006.06015), averaged over
    target masks by their share and over the batch. One sample near each mask suffices, so it rewards samples that
    differ.

    Args:
        logits: ``(samples, batch, classes, *space)``.
        target: masks of the batch.
        admissible: ``(labels, classes)`` bool.
    """
    each = mask_log_likelihood(logits, target.labels, target.rated, admissible)  # (samples, batch, masks)
    mixture = torch.logsumexp(each, dim=0) - math.log(len(logits))
    return -(mixture * target.share).sum(dim=1).mean()


def mean_cross_entropy(logits: Tensor, target: Target, admissible: Tensor) -> Tensor:
    """Cross entropy of the mean probabilities over samples, nats an image; keeps the mean calibrated.

    Args:
        logits: ``(samples, batch, classes, *space)``.
        target: masks of the batch.
        admissible: ``(labels, classes)`` bool.
    """
    mean = torch.logsumexp(torch.log_softmax(logits.float(), dim=2), dim=0, keepdim=True) - math.log(len(logits))
    each = mask_log_likelihood(mean, target.labels, target.rated, admissible)[0]  # (batch, masks)
    return -(each * target.share).sum(dim=1).mean()
