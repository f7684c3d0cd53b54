"""The probabilistic U-Net: one network and a latent vector that says which reading it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError, warn
from probseg.models.base import SegmentationModule
from probseg.models.targets import Target
from probseg.networks.gaussian import GaussianEncoder
from probseg.networks.latent import LatentCombiner
from probseg.networks.protocol import FeatureNetwork
from probseg.records import DatasetInfo

__all__ = ["ProbabilisticUNet"]

_ACTIVE_NATS = 0.01  # a latent dimension with less KL than this carries nothing


class ProbabilisticUNet(SegmentationModule):
    """Conditional variational autoencoder over segmentations (Kohl et al. 2018, arXiv:1806.05034).

    A prior network sees the image, a posterior network the image and one rater's mask; a sample of the latent vector
    z changes the U-Net's features. Minimised is, for each target mask y and averaged over the batch,

        -sum over voxels of log p(y | x, z)  +  beta * KL(q(z | x, y) || p(z | x)),   z ~ q.

    With `AverageRaters` every rater of an image has a posterior and a sample of its own in each step, which has the
    same expectation as Kohl's random rater and less variance; the features are computed once.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        if not isinstance(network, FeatureNetwork):
            raise ProbsegError(
                "E_SCHEMA",
                f"ProbabilisticUNet needs a network with features and head, which {type(network).__name__} lacks; "
                "use probseg.networks.UNet",
            )
        if latent < 1 or beta < 0 or prior_weight < 0 or prior_samples < 1:
            raise ProbsegError(
                "E_SCHEMA",
                "latent and prior_samples must be at least 1, beta and prior_weight at least 0, but are "
                f"{latent}, {prior_samples}, {beta} and {prior_weight}",
            )
        self.latent = latent
        self.beta = beta
        self.prior_weight = prior_weight
        self.prior_samples = prior_samples
        dimensions, images, classes = network.dimensions, network.in_channels, network.num_classes
        self.prior = GaussianEncoder(images, latent, encoder_channels, dimensions)
        self.posterior = GaussianEncoder(images + classes, latent, encoder_channels, dimensions)
        self.combiner = LatentCombiner(network.feature_channels, latent, hidden, dimensions)
        self._quiet_steps = 0

    @property
    def unet(self) -> FeatureNetwork:
        """The network; a second attribute would write its weights into every checkpoint twice."""
        assert isinstance(self.network, FeatureNetwork)
        return self.network

    def bind(self, info: DatasetInfo) -> None:
        """As in `SegmentationModule`; the posterior is made for as many classes as the network has."""
        super().bind(info)
        if self.unet.num_classes != info.labels.num_classes:
            raise ProbsegError(
                "E_CLASS_MISMATCH",
                f"the network gives {self.unet.num_classes} classes but the label set has {info.labels.num_classes}; "
                "set num_classes of the network",
            )

    def _decode(self, features: Tensor, z: Tensor, space: tuple[int, ...]) -> Tensor:
        """Latents ``(readings, batch, latent)`` to logits ``(readings, batch, classes, *space)``."""
        return self.unet.head(self.combiner(features, z), space).unflatten(0, tuple(z.shape[:2]))

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """One model, ``draws.count`` readings; reading k has the same noise for every image."""
        features = self.unet.features(image)
        prior = self.prior(image)
        noise = draws.noise(self.latent).to(image.device)[:, None]  # (readings, 1, latent)
        z = prior.base_dist.loc + prior.base_dist.scale * noise
        return SegmentationDistribution(self._decode(features, z, tuple(image.shape[2:]))[None])

    def _posterior(self, image: Tensor, target: Target, chosen: Tensor) -> Normal:
        """q(z | x, y) for the ``chosen`` (mask, image) pairs, masks slowest: Gaussians ``(chosen, latent)``."""
        admissible = self.admissible.to(image)
        share = admissible / admissible.sum(dim=1, keepdim=True)  # a group is spread evenly over its classes
        seen = share[target.labels.long()].movedim(-1, 2)
        seen = torch.where(target.rated.unsqueeze(2), seen, 1.0 / self.num_classes) - 0.5  # centred, as in the paper
        images = image.unsqueeze(0).expand(seen.shape[1], *image.shape)
        pairs = torch.cat([images, seen.transpose(0, 1)], dim=2).flatten(0, 1)
        gaussian: Normal = self.posterior(pairs[chosen]).base_dist
        return gaussian

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Negative evidence lower bound an image, its two parts, and how many latent dimensions are in use."""
        target = self.target(batch, self.num_classes)
        size, masks = target.share.shape
        space = tuple(batch.image.shape[2:])
        shares = target.share.T.flatten()  # (masks * batch,), masks slowest
        # Absent raters must not even pass through the posterior, whose batch norm would learn from them.
        chosen = shares.nonzero().squeeze(1) if bool(shares.any()) else torch.arange(len(shares), device=shares.device)
        features = self.unet.features(batch.image)
        prior = self.prior(batch.image)
        posterior = self._posterior(batch.image, target, chosen)
        z = posterior.loc.new_zeros(masks * size, self.latent).index_copy(0, chosen, posterior.rsample())
        logits = self._decode(features, z.unflatten(0, (masks, size)), space)
        likelihood = self.log_likelihood(logits.transpose(0, 1), target.labels)
        terms = {"reconstruction": self._reconstruction(likelihood, target)}
        each = kl_divergence(posterior, _repeated(prior, masks, chosen))  # (chosen, latent)
        kl = (each * shares[chosen].unsqueeze(1)).sum(dim=0) / size  # (latent,)
        terms["kl"] = kl.sum()
        terms["active_units"] = (kl.detach() > _ACTIVE_NATS).sum().float()
        self._watch_collapse(terms["active_units"])
        loss = terms["reconstruction"] + self.beta * terms["kl"]
        if self.prior_weight:
            sampled = self._decode(features, prior.rsample((self.prior_samples,)), space)
            mean = torch.logsumexp(torch.log_softmax(sampled.float(), dim=2), dim=0)  # up to a constant
            terms["prior"] = self._reconstruction(self.log_likelihood(mean.unsqueeze(1), target.labels), target)
            loss = loss + self.prior_weight * terms["prior"]
        return {"loss": loss, **terms}

    @staticmethod
    def _reconstruction(likelihood: Tensor, target: Target) -> Tensor:
        """Summed over rated voxels, averaged over target masks by their share and over the batch."""
        return -((likelihood * target.rated).flatten(2).sum(dim=2) * target.share).sum(dim=1).mean()

    def _watch_collapse(self, active: Tensor) -> None:
        """Warn when no latent dimension has carried anything for a hundred steps."""
        self._quiet_steps = 0 if bool(active) else self._quiet_steps + 1
        if self._quiet_steps == 100:
            warn(
                "W_LATENT_COLLAPSE",
                "no latent dimension has carried information for 100 steps, so all readings are alike; lower beta, "
                "start from a trained deterministic network (warm_start), or train longer",
            )


def _repeated(gaussian: Independent, times: int, chosen: Tensor) -> Normal:
    """The ``chosen`` of the same Gaussians ``times`` over."""
    return Normal(gaussian.base_dist.loc.repeat(times, 1)[chosen], gaussian.base_dist.scale.repeat(times, 1)[chosen])
