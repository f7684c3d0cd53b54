"""The probabilistic U-Net: one network and a latent vector that says which reading it is."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.models.bounds import Evidence, EvidenceBound, LatentBound
from probseg.models.collapse import CollapseAlarm, active_units
from probseg.models.mask_channels import mask_channels
from probseg.models.sampled import mean_cross_entropy
from probseg.models.targets import Target
from probseg.networks.divergence import at_noise, chosen_of, kl_by_dimension, whitened
from probseg.networks.gaussian import GaussianEncoder
from probseg.networks.latent import LatentCombiner
from probseg.networks.protocol import FeatureNetwork
from probseg.networks.readings import logits_under

__all__ = ["ProbabilisticUNet"]


class ProbabilisticUNet(SegmentationModule):
    """Conditional variational autoencoder over segmentations (Kohl et al. 2018, arXiv:1806.05034).

    A prior network sees the image, a posterior network the image and one rater's mask; a sample of the latent vector
    z changes the U-Net's features. Minimised is, for each target mask y and averaged over the batch,

        -sum over voxels of log p(y | x, z)  +  beta * KL(q(z | x, y) || p(z | x)),   z ~ q,

    or another ``bound``. With `AverageRaters` every rater of an image has a posterior and a sample of its own in each
    step, which has the same expectation as Kohl's random rater and less variance; the features are computed once.

    Args:
        network: a network with ``features`` and ``head``, such as `probseg.networks.UNet`.
        latent: L, the length of z.
        beta: weight of the KL term; 1 is the evidence lower bound.
        prior_weight: weight of a further term, the cross entropy of the mean probabilities over ``prior_samples``
            samples of the prior (the hybrid objective of Sohn et al. 2015, NeurIPS): training then sees what
            prediction does, which calibrates the mean. 0, the default, is Kohl's objective.
        prior_samples: how many samples that term takes.
        encoder_channels: widths of prior and posterior network.
        hidden: width of the combiner.
        covariance: of prior and posterior, ``diagonal`` or ``full``; see `probseg.networks.GaussianEncoder`.
        pooling: of prior and posterior, ``mean`` or ``mean_max``; see there.
        bound: what is minimised, one of `probseg.models.bounds`; by default its `EvidenceBound` with ``beta``.
        kwargs: those of `SegmentationModule`.
    """

    def __init__(
        self,
        network: nn.Module,
        latent: int = 6,
        beta: float = 1.0,
        prior_weight: float = 0.0,
        prior_samples: int = 8,
        encoder_channels: tuple[int, ...] = (24, 48, 64),
        hidden: int = 24,
        covariance: str = "diagonal",
        pooling: str = "mean",
        bound: LatentBound | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        if not isinstance(network, FeatureNetwork):
            raise ProbsegError(
                "E_SCHEMA",
                f"ProbabilisticUNet needs a network with features and head, which {type(network).__name__} lacks; "
                "use probseg.networks.UNet",
            )
        if latent < 1 or prior_weight < 0 or prior_samples < 1:
            raise ProbsegError(
                "E_SCHEMA",
                "latent and prior_samples must be at least 1 and prior_weight at least 0, but are "
                f"{latent}, {prior_samples} and {prior_weight}",
            )
        if bound is not None and beta != 1:
            raise ProbsegError(
                "E_SCHEMA", f"beta of ProbabilisticUNet is {beta}, but a bound is given; set beta of EvidenceBound"
            )
        self.latent = latent
        self.prior_weight = prior_weight
        self.prior_samples = prior_samples
        dimensions, images, classes = network.dimensions, network.in_channels, network.num_classes
        encoder = partial(
            GaussianEncoder,
            latent=latent,
            channels=encoder_channels,
            dimensions=dimensions,
            covariance=covariance,
            pooling=pooling,
        )
        self.prior = encoder(images)
        self.posterior = encoder(images + classes)
        self.combiner = LatentCombiner(network.feature_channels, latent, hidden, dimensions)
        self.bound = EvidenceBound(beta) if bound is None else bound
        self.alarm = CollapseAlarm()

    @property
    def unet(self) -> FeatureNetwork:
        """The network; a second attribute would write its weights into every checkpoint twice."""
        assert isinstance(self.network, FeatureNetwork)
        return self.network

    def _decode(self, features: Tensor, z: Tensor, space: tuple[int, ...]) -> Tensor:
        """Latents ``(readings, batch, latent)`` to logits ``(readings, batch, classes, *space)``."""
        return logits_under(self.unet, self.combiner, features, z, space)

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """One model, ``draws.count`` readings; reading k has the same noise for every image."""
        features = self.unet.features(image)
        noise = draws.noise(self.latent).to(image.device)[:, None]  # (readings, 1, latent)
        z = at_noise(self.prior(image), noise)
        return SegmentationDistribution(self._decode(features, z, tuple(image.shape[2:]))[None])

    def _posterior(self, image: Tensor, target: Target, chosen: Tensor) -> Distribution:
        """q(z | x, y) for the ``chosen`` (mask, image) pairs, masks slowest: Gaussians ``(chosen, latent)``."""
        seen = mask_channels(target, self.admissible).transpose(0, 1)
        images = image.unsqueeze(0).expand(len(seen), *image.shape)
        pairs = torch.cat([images, seen], dim=2).flatten(0, 1)
        gaussian: Distribution = self.posterior(pairs[chosen])
        return gaussian

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The bound an image and its parts, and how many latent dimensions are in use."""
        target = self.target(batch, self.num_classes)
        shares = target.share.T.flatten()  # (masks * batch,), masks slowest
        # Absent raters must not even pass through the posterior, whose batch norm would learn from them.
        chosen = shares.nonzero().squeeze(1) if bool(shares.any()) else torch.arange(len(shares), device=shares.device)
        features = self.unet.features(batch.image)
        prior = self.prior(batch.image)
        posterior = self._posterior(batch.image, target, chosen)
        opposite = chosen_of(prior, chosen % len(batch))  # the prior of each pair's image
        z = posterior.rsample((self.bound.samples,))  # (samples, chosen, latent)
        evidence = Evidence(
            self._pair_likelihood(features, z, target, chosen),
            opposite.log_prob(z),
            posterior.log_prob(z),
            kl_by_dimension(posterior, opposite),
            shares[chosen] / len(batch),
        )
        terms: dict[str, Tensor] = self.bound(evidence)
        means = whitened(posterior, opposite)[0].detach()
        terms["active_units"] = active_units(evidence.mean_kl.detach(), means, self.bound.free_bits)
        self.alarm.watch(terms["active_units"])
        if self.prior_weight:
            sampled = self._decode(features, prior.rsample((self.prior_samples,)), tuple(batch.image.shape[2:]))
            terms["prior"] = mean_cross_entropy(sampled, target, self.admissible)
            terms["loss"] = terms["loss"] + self.prior_weight * terms["prior"]
        return terms

    def _pair_likelihood(self, features: Tensor, z: Tensor, target: Target, chosen: Tensor) -> Tensor:
        """``(samples, chosen)`` log p(y | x, z) of the chosen pairs under latents ``(samples, chosen, latent)``."""
        samples, (size, masks) = len(z), target.share.shape
        whole = z.new_zeros(samples, masks * size, self.latent).index_copy(1, chosen, z)
        logits = self._decode(features, whole.reshape(samples * masks, size, -1), tuple(target.labels.shape[2:]))
        labels = target.labels.unsqueeze(1).expand(-1, samples, *target.labels.shape[1:]).flatten(1, 2)
        likelihood = self.log_likelihood(logits.transpose(0, 1), labels).unflatten(1, (samples, masks))
        summed = (likelihood * target.rated.unsqueeze(1)).flatten(3).sum(dim=3)  # (batch, samples, masks)
        return summed.permute(1, 2, 0).flatten(1)[:, chosen]
