"""A tighter bound from several samples of the latent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from probseg.errors import ProbsegError
from probseg.models.bounds.base import Evidence, LatentBound

__all__ = ["ImportanceWeightedBound"]


class ImportanceWeightedBound(LatentBound):
    """Importance-weighted bound of K samples (Burda et al. 2016, arXiv:1509.00519, equation 8).

        L_K = E log 1/K sum_k p(y | x, z_k) p(z_k | x) / q(z_k | x, y),   z_k ~ q(z | x, y).

    L_1 is the evidence lower bound; the bound rises with K towards log p(y | x). Minimised is its negative, an image's
    sum averaged over images.

    Args:
        samples: K; the decoder's memory and time grow with it.
    """

    def __init__(self, samples: int = 5) -> None:
        super().__init__()
        if samples < 1:
            raise ProbsegError("E_SCHEMA", f"samples of an ImportanceWeightedBound must be at least 1, not {samples}")
        self.samples = samples

    def forward(self, evidence: Evidence) -> dict[str, Tensor]:
        """``loss``, and ``reconstruction`` and ``kl`` for comparison with the evidence lower bound."""
        log_weights = evidence.log_likelihood + evidence.log_prior - evidence.log_posterior  # (samples, pairs)
        bound = torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))
        return {
            "loss": -(bound * evidence.weight).sum(),
            "reconstruction": evidence.reconstruction,
            "kl": evidence.mean_kl.sum(),
        }
