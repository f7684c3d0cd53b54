"""One network and a learnt style for each rater: what this rater, another, or all of them together would draw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from probseg.batch import NOBODY, Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.rater_aware import RaterAware
from probseg.models.targets import rater_losses
from probseg.networks.latent import LatentCombiner
from probseg.networks.readings import logits_under
from probseg.networks.styles import RaterStyles

__all__ = ["RaterConditioned"]


class RaterConditioned(RaterAware):
    """A U-Net whose features are changed by the style of a rater; the readings are what each rater would draw.

    Each rater r has a style s_r, of which the model keeps a Gaussian q(s_r); styles come from a population p(s) about
    the consensus, at the origin (see `probseg.networks.RaterStyles`). Minimised is, for each target mask y of rater r
    and averaged over the batch,

        -sum over voxels of log p(y | x, s)  +  beta * KL(q(s_r) || p(s)) / n_r,   s ~ q(s_r),

    n_r being how many training examples r rated, so that an epoch holds each rater's divergence once: the evidence
    lower bound of a hierarchical model with the latent on raters where Kohl et al. (2018, arXiv:1806.05034) have it on
    images. Of a share ``consensus_share`` of the masks the model is not told whose they are and must do with the
    consensus, which so learns what raters have in common. Masks of nobody in particular (a vote, STAPLE) train the
    consensus alone.

    Args:
        network: a network with ``features`` and ``head``, such as `probseg.networks.UNet`.
        latent: L, the length of a style.
        consensus_share: share of masks from which the consensus learns, 0 to below 1.
        beta: weight of the divergence; 1 is the evidence lower bound.
        hidden: width of the combiner of features and style.
        population: the draws are raters whom nobody has met, from the population, and not the known ones in turn.
        rater: every reading is this rater's, or the ``consensus``; None for those of all raters.
        kwargs: those of `probseg.models.SegmentationModule`.
    """

    central = "consensus"
    styles: RaterStyles

    def __init__(
        self,
        network: nn.Module,
        latent: int = 6,
        consensus_share: float = 0.2,
        beta: float = 1.0,
        hidden: int = 24,
        population: bool = False,
        rater: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, rater, **kwargs)
        if latent < 1 or hidden < 1 or beta < 0 or not 0 <= consensus_share < 1:
            raise ProbsegError(
                "E_SCHEMA",
                "latent and hidden must be at least 1, beta at least 0 and consensus_share from 0 to below 1, but are "
                f"{latent}, {hidden}, {beta} and {consensus_share}",
            )
        if population and rater is not None:
            raise ProbsegError("E_SCHEMA", f"draws are of rater '{rater}' or of the population, not of both")
        self.latent = latent
        self.consensus_share = consensus_share
        self.beta = beta
        self.population = population
        self.combiner = LatentCombiner(self.unet.feature_channels, latent, hidden, self.unet.dimensions)

    def make_room(self, raters: int) -> None:
        """A style for each rater."""
        self.styles = RaterStyles(raters, self.latent).to(self.device)

    def style_of(self, rater: str) -> Tensor:
        """``(latent,)``: the style of a rater by name; that of the ``consensus`` is the origin."""
        if self.is_central(rater):
            return torch.zeros(self.latent, device=self.device)
        return self.styles.mean[self.known.number(rater, self.central)].detach()

    def _decode(self, features: Tensor, styles: Tensor, space: tuple[int, ...]) -> Tensor:
        """Styles ``(readings, batch or 1, latent)`` to logits ``(readings, batch, classes, *space)``."""
        return logits_under(self.unet, self.combiner, features, styles, space)

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """One model; ``draws.count`` readings, of the raters in turn or of strangers, or one of the chosen rater."""
        _ = self.known  # says so where nobody is known yet
        if self.rater is not None and self.is_central(self.rater):
            styles, turn = self.style_of(self.rater)[None], torch.zeros(1, dtype=torch.int64)
        elif self.population:
            styles, turn = self.styles.population(draws.noise(self.latent).to(image.device)), torch.arange(draws.count)
        else:
            raters, turn = self.turns(draws)
            styles = self.styles.mean[raters.to(image.device)]
        logits = self._decode(self.unet.features(image), styles.unsqueeze(1), tuple(image.shape[2:]))
        return SegmentationDistribution(logits[turn.to(image.device)][None])  # whose turn comes again is not made again

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The bound an image, its two parts, and the cross entropy of each rater in nats a voxel."""
        target = self.renumbered(self.target(batch, self.num_classes))
        unnamed = torch.rand(target.rater.shape, device=target.rater.device) < self.consensus_share
        styles = self.styles.sample(torch.where(unnamed, NOBODY, target.rater))  # (batch, masks, latent)
        logits = self._decode(self.unet.features(batch.image), styles.transpose(0, 1), tuple(batch.image.shape[2:]))
        likelihood = self.log_likelihood(logits.transpose(0, 1), target.labels)
        each = torch.where(target.rated, likelihood, 0.0).flatten(2).sum(dim=2)  # (batch, masks)
        terms = {
            "reconstruction": -(each * target.share).sum(dim=1).mean(),
            "divergence": (self._divergence(batch, target.rater) * target.share).sum(dim=1).mean(),
        }
        return {
            "loss": terms["reconstruction"] + self.beta * terms["divergence"],
            **terms,
            **rater_losses(likelihood, target, self.known.names),
        }

    def _divergence(self, batch: Batch, rater: Tensor) -> Tensor:
        """``(batch, masks)``: the divergence of each mask's rater over how many examples this rater rated."""
        nobody = len(self.known)  # behind the last rater
        drew = self.numbers[batch.rater]
        place = torch.where(drew < 0, nobody, drew).flatten()
        workload = torch.ones(nobody + 1, device=rater.device).index_put((place,), batch.workload.flatten().float())
        each = self.styles.divergence() / workload[:nobody].clamp(min=1)
        return torch.where(rater < 0, 0.0, each[rater.clamp(min=0)])
