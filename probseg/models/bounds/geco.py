"""As little information as a wanted reconstruction needs: the weight of the bound's parts finds itself."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from probseg.errors import ProbsegError
from probseg.models.bounds.base import Evidence, LatentBound

__all__ = ["Geco"]


class Geco(LatentBound):
    """Generalised evidence lower bound with a constrained optimisation (Rezende and Viola 2018, arXiv:1810.00597).

    Minimised is ``KL + lambda * C`` with the constraint ``C = -log p(y | x, z) - tolerance`` and a Lagrange multiplier
    lambda that grows while the constraint's moving average is above 0 and falls while it is below:

        C_ma <- smoothing * C_ma + (1 - smoothing) * C;    lambda <- lambda * exp(speed * C_ma / tolerance).

    The constraint enters the multiplier as a share of the tolerance, cut to -1..1, so that one speed serves images of
    any size and the thousands of nats of the first steps do not throw the multiplier out. Both are buffers: they
    travel in the checkpoint, and a resumed training goes on as if it had not stopped. They move in training only, once
    a batch, by the mean over processes.

    Args:
        tolerance: reconstruction to reach, nats an image; a little above what a deterministic network reaches against
            one rater who is known.
        smoothing: of the moving average.
        speed: largest relative change of lambda in a step.
        bounds: least and greatest lambda.
    """

    multiplier: Tensor
    constraint: Tensor

    def __init__(
        self,
        tolerance: float,
        smoothing: float = 0.99,
        speed: float = 0.01,
        bounds: tuple[float, float] = (0.01, 100.0),
    ) -> None:
        super().__init__()
        if not tolerance > 0 or not 0 <= smoothing < 1 or not speed > 0:
            raise ProbsegError(
                "E_SCHEMA",
                "Geco needs tolerance and speed above 0 and smoothing from 0 to below 1, but they are "
                f"{tolerance}, {speed} and {smoothing}",
            )
        lowest, highest = bounds
        if not 0 < lowest <= 1 <= highest:
            raise ProbsegError("E_SCHEMA", f"bounds of Geco must be above 0 and enclose 1, but are {list(bounds)}")
        self.tolerance = tolerance
        self.smoothing = smoothing
        self.speed = speed
        self.bounds = (lowest, highest)
        self.register_buffer("multiplier", torch.ones(()))
        self.register_buffer("constraint", torch.zeros(()))

    def forward(self, evidence: Evidence) -> dict[str, Tensor]:
        """``loss``, ``reconstruction``, ``kl``, ``multiplier`` and ``constraint``, its moving average."""
        reconstruction, kl = evidence.reconstruction, evidence.mean_kl.sum()
        rated = evidence.weight.sum()  # share of images that anybody rated; the others ask for nothing
        excess = reconstruction - self.tolerance * rated
        if self.training:
            self._move(excess.detach(), rated)
        multiplier = self.multiplier.clone()  # what the backward pass keeps must not move with the next batch
        return {
            "loss": kl + multiplier * excess,
            "reconstruction": reconstruction,
            "kl": kl,
            "multiplier": multiplier,
            "constraint": self.constraint.clone(),
        }

    @torch.no_grad()
    def _move(self, excess: Tensor, rated: Tensor) -> None:
        """By the mean over processes of which anybody rated an image; all take part, or the others would wait."""
        some = rated > 0
        found = torch.stack([torch.where(some, excess / rated, 0), some]).float()
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(found)
        if found[1] == 0:
            return
        self.constraint.lerp_((found[0] / found[1]).to(self.constraint), 1 - self.smoothing)
        share = (self.constraint / self.tolerance).clamp(-1, 1)
        self.multiplier.mul_((self.speed * share).exp()).clamp_(*self.bounds)
