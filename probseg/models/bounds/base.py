"""What every bound is given, and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["Evidence", "LatentBound"]


@dataclass(frozen=True)
class Evidence:
    """What one step knows of each pair of an image and one mask of it.

    Attributes:
        log_likelihood: ``(samples, pairs)`` log p(y | x, z), summed over rated voxels, nats.
        log_prior: ``(samples, pairs)`` log p(z | x).
        log_posterior: ``(samples, pairs)`` log q(z | x, y).
        kl: ``(pairs, latent)`` KL(q(z | x, y) || p(z | x)) by dimension.
        weight: ``(pairs,)``; a sum weighted by it is the mean over the images of the batch of the mean over each
            image's masks.
    """

    log_likelihood: Tensor
    log_prior: Tensor
    log_posterior: Tensor
    kl: Tensor
    weight: Tensor

    @property
    def reconstruction(self) -> Tensor:
        """Mean over images of ``-log p(y | x, z)``, nats an image."""
        return -(self.log_likelihood.mean(dim=0) * self.weight).sum()

    @property
    def mean_kl(self) -> Tensor:
        """``(latent,)``: mean over images of the divergence of each dimension."""
        return (self.kl * self.weight.unsqueeze(1)).sum(dim=0)


class LatentBound(nn.Module, ABC):
    """An objective for a network with a latent vector; a module because some have a state that checkpoints keep.

    Attributes:
        samples: how many latents are drawn from each posterior.
        free_bits: divergence of a dimension that costs nothing, nats; a dimension there need not carry anything.
    """

    samples: int = 1
    free_bits: float = 0.0

    @abstractmethod
    def forward(self, evidence: Evidence) -> dict[str, Tensor]:
        """The terms of the objective, all logged; the entry ``loss`` is minimised."""
