"""What is kept of a distribution for every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

__all__ = ["UncertaintyMaps"]


@dataclass(frozen=True)
class UncertaintyMaps:
    """Per-voxel summary of a distribution.

    Attributes:
        mean: ``(batch, classes, *space)`` probabilities.
        mode: ``(batch, *space)`` most probable class.
        entropy, epistemic, ambiguity, noise: ``(batch, *space)`` nats; the first is the sum of the other three.
    """

    mean: Tensor
    mode: Tensor
    entropy: Tensor
    epistemic: Tensor
    ambiguity: Tensor
    noise: Tensor

    @classmethod
    def cat(cls, parts: Sequence[UncertaintyMaps]) -> UncertaintyMaps:
        """Join along the batch axis, for example slices of one scan."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def cpu(self) -> UncertaintyMaps:
        """The same maps in main memory."""
        return UncertaintyMaps(*(getattr(self, f.name).cpu() for f in fields(self)))
