"""What a family may ask of a network beyond calling it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["FeatureNetwork"]


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network whose last step can be taken apart: ``forward(x) == head(features(x))`` up to padding.

    Attributes:
        in_channels: channels of the image.
        num_classes: channels of the logits.
        feature_channels: channels of ``features``.
        dimensions: 2 or 3.
    """

    in_channels: int
    num_classes: int
    feature_channels: int
    dimensions: int

    def features(self, image: Tensor) -> Tensor:
        """``(batch, channels, *space)`` to ``(batch, feature_channels, *folded)``."""

    def head(self, features: Tensor, space: tuple[int, ...]) -> Tensor:
        """Features to logits ``(batch, classes, *space)`` of the image's size."""
