"""What every loss is given and gives back, and how classes are weighted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from probseg.errors import ProbsegError
from probseg.likelihood import every_label_log_likelihood
from probseg.models.targets import Target

__all__ = ["SegmentationLoss", "WeightedLoss", "label_weight", "mask_weight", "voxel_log_likelihood"]


class SegmentationLoss(ABC):
    """A loss of predicted probabilities against the masks of a target; voxels that nobody rated cost nothing."""

    @abstractmethod
    def __call__(self, log_probs: Tensor, target: Target, admissible: Tensor) -> dict[str, Tensor]:
        """The terms of the loss, all logged; the entry ``loss`` is minimised.

        Args:
            log_probs: ``(batch, classes, *space)`` normalised log-probabilities, float32.
            target: one or several masks an image, with the share of each.
            admissible: ``(labels, classes)`` bool, `probseg.labels.LabelSet.admissible`.

        Returns:
            Scalars; 0 where nobody rated anything.
        """

    def check(self, num_classes: int) -> None:
        """Refuse settings that do not fit a label set of so many classes; called when the model is told its data."""
        return


class WeightedLoss(SegmentationLoss):
    """A loss whose classes may weigh differently.

    A voxel that is labelled with a group weighs the mean of the weights of the classes which that group admits.

    Args:
        class_weights: one for each leaf class, background first, at least 0; None for the loss's default.
    """

    def __init__(self, class_weights: list[float] | None = None) -> None:
        weights = class_weights
        if weights is not None and not (all(0 <= w < math.inf for w in weights) and sum(weights) > 0):
            raise ProbsegError(
                "E_SCHEMA",
                f"class_weights of {type(self).__name__} must be at least 0 and not all 0, but are {list(weights)}",
            )
        self.class_weights = None if weights is None else tuple(float(w) for w in weights)

    def check(self, num_classes: int) -> None:
        """Every class must have a weight."""
        if self.class_weights is not None and len(self.class_weights) != num_classes:
            raise ProbsegError(
                "E_CLASS_MISMATCH",
                f"class_weights of {type(self).__name__} are {len(self.class_weights)}, but the label set has "
                f"{num_classes} classes, background included",
            )

    def label_weights(self, admissible: Tensor) -> Tensor | None:
        """``(labels,)`` float32, what a voxel of each label weighs; None where all weigh 1."""
        if self.class_weights is None:
            return None
        weights = torch.tensor(self.class_weights, device=admissible.device)
        return (admissible * weights).sum(dim=1) / admissible.sum(dim=1)


def voxel_log_likelihood(log_probs: Tensor, target: Target, admissible: Tensor) -> Tensor:
    """``(batch, masks, *space)`` log of the total probability that each mask's label admits, nats."""
    every = every_label_log_likelihood(log_probs, admissible, dim=1)
    return every.gather(1, target.labels.long())


def label_weight(target: Target, labels: int) -> Tensor:
    """``(batch, labels, *space)``: how much of `mask_weight` falls on each label, all masks together.

    A sum over masks of what depends on the label alone is one over labels with these weights, and a label set has one
    prediction a voxel where there are several masks.
    """
    weight = mask_weight(target)
    each = weight.new_zeros(len(weight), labels, *weight.shape[2:])
    return each.scatter_add_(1, target.labels.long(), weight)


def mask_weight(target: Target) -> Tensor:
    """``(batch, masks, *space)``: the share of each mask where it is rated, 0 elsewhere."""
    return target.rated * target.share.reshape(*target.share.shape, *(1,) * (target.rated.ndim - 2))
