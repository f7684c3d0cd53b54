"""Where a stochastic segmentation network is unsure at all, chosen by class path."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from probseg.errors import ProbsegError

__all__ = ["IntensityRegion", "StochasticRegion"]


class StochasticRegion(ABC):
    """The voxels whose logits are random; a function of the image alone, so that prediction knows it too."""

    @abstractmethod
    def __call__(self, image: Tensor) -> Tensor:
        """``(batch, channels, *space)`` images to ``(batch, 1, *space)`` 0 and 1 in the images' type."""


class IntensityRegion(StochasticRegion):
    """Voxels within a range of the first channel; for example all that is not air outside the body.

    A large background in which every sample is alike only adds noise to the likelihood of a mask: Monteiro et al.
    (2020) keep logits deterministic outside the brain.

    Args:
        low: least value, of images normalised to 0..1.
        high: greatest value.
    """

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        if not 0 <= low < high <= 1:
            raise ProbsegError("E_SCHEMA", f"a region needs 0 <= low < high <= 1, but got {low} and {high}")
        self.low = low
        self.high = high

    def __call__(self, image: Tensor) -> Tensor:
        """1 where the first channel lies in the range, ends included."""
        first = image[:, :1]
        return ((first >= self.low) & (first <= self.high)).to(image.dtype)
