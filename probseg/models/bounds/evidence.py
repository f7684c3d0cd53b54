"""The evidence lower bound, with a weight on its divergence and with free bits."""

from __future__ import annotations

import torch
from torch import Tensor

from probseg.errors import ProbsegError
from probseg.models.bounds.base import Evidence, LatentBound

__all__ = ["EvidenceBound"]


class EvidenceBound(LatentBound):
    """``-log p(y | x, z) + beta * sum_j max(free_bits, KL_j)``, z of the posterior; the mean over images.

    With beta 1 and no free bits it is the negative evidence lower bound. ``beta`` is that of Higgins et al. (2017,
    ICLR). Free bits (Kingma et al. 2016, arXiv:1606.04934, equation 15) take the pressure off a dimension whose
    divergence, averaged over the batch, is below ``free_bits``, so that it is not driven to nothing before the decoder
    has learnt to use it. Since the maximum is taken of a batch's mean, as in the paper, this is the one term whose
    value depends on how images are grouped into batches.

    Args:
        beta: weight of the divergence.
        free_bits: nats a dimension; 0 for none.
    """

    def __init__(self, beta: float = 1.0, free_bits: float = 0.0) -> None:
        super().__init__()
        if beta < 0 or free_bits < 0:
            raise ProbsegError("E_SCHEMA", f"beta and free_bits must be at least 0, but are {beta} and {free_bits}")
        self.beta = beta
        self.free_bits = free_bits

    def forward(self, evidence: Evidence) -> dict[str, Tensor]:
        """``loss``, ``reconstruction`` and ``kl``; the latter as it is, without what is free."""
        kl = evidence.mean_kl
        reconstruction = evidence.reconstruction
        floor = self.free_bits * evidence.weight.sum()  # images that nobody rated have nothing for free
        paid = torch.maximum(kl, floor) if self.free_bits else kl
        return {"loss": reconstruction + self.beta * paid.sum(), "reconstruction": reconstruction, "kl": kl.sum()}
