"""Several losses at once."""

from __future__ import annotations

import math
import re

from torch import Tensor

from probseg.errors import ProbsegError
from probseg.models.losses.base import SegmentationLoss
from probseg.models.losses.cross_entropy import CrossEntropyLoss
from probseg.models.losses.dice import DiceLoss
from probseg.models.targets import Target

__all__ = ["CombinedLoss"]


class CombinedLoss(SegmentationLoss):
    """A weighted sum of losses, by default cross entropy plus Dice with equal weights (Isensee et al. 2021).

    doi:10.1038/s41592-020-01008-z. Each part is logged under its own name: ``cross_entropy``, ``dice``.

    Args:
        losses: at least two, each of another class; None for cross entropy and Dice.
        weights: one a loss, above 0; None for 1 each.
    """

    def __init__(self, losses: list[SegmentationLoss] | None = None, weights: list[float] | None = None) -> None:
        self.losses = [CrossEntropyLoss(), DiceLoss()] if losses is None else list(losses)
        self.weights = [1.0] * len(self.losses) if weights is None else [float(w) for w in weights]
        if len(self.losses) < 2 or len({type(one) for one in self.losses}) < len(self.losses):
            names = ", ".join(type(one).__name__ for one in self.losses)
            raise ProbsegError("E_SCHEMA", f"CombinedLoss needs two or more losses of different classes, not [{names}]")
        if len(self.weights) != len(self.losses) or not all(0 < w < math.inf for w in self.weights):
            raise ProbsegError(
                "E_SCHEMA",
                f"weights of CombinedLoss must be {len(self.losses)} numbers above 0, one a loss, but are {weights}",
            )

    def check(self, num_classes: int) -> None:
        """As each part."""
        for loss in self.losses:
            loss.check(num_classes)

    def __call__(self, log_probs: Tensor, target: Target, admissible: Tensor) -> dict[str, Tensor]:
        """``loss`` and every part, unweighted, under its name."""
        parts = {_name_of(loss): loss(log_probs, target, admissible)["loss"] for loss in self.losses}
        weighted = [weight * part for weight, part in zip(self.weights, parts.values(), strict=True)]
        return {"loss": sum(weighted[1:], start=weighted[0]), **parts}


def _name_of(loss: SegmentationLoss) -> str:
    """``CrossEntropyLoss`` to ``cross_entropy``."""
    name = type(loss).__name__.removesuffix("Loss")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
