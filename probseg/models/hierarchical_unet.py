"""A U-Net with latent vectors at several scales: coarse ones say what is there, fine ones where it ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.likelihood import mask_log_likelihood
from probseg.models.base import SegmentationModule
from probseg.models.bounds import Evidence, EvidenceBound, ImportanceWeightedBound, LatentBound
from probseg.models.collapse import CollapseAlarm, active_units
from probseg.models.mask_channels import mask_channels
from probseg.models.sampled import mask_mixture, mean_cross_entropy
from probseg.models.targets import Target
from probseg.networks.deep import coarsened
from probseg.networks.divergence import at_noise, kl_by_dimension, whitened
from probseg.networks.folding import unfold
from probseg.networks.ladder import LatentLadder, Pointwise
from probseg.networks.mask_encoder import MaskEncoder
from probseg.networks.protocol import PyramidNetwork

__all__ = ["HierarchicalUNet"]


class HierarchicalUNet(SegmentationModule):
    """Conditional variational autoencoder with a hierarchy of latents, a coherent kind of PHiSeg and of HPU-Net.

    After Baumgartner et al. (2019, arXiv:1906.04045) and Kohl et al. (2019, arXiv:1905.13077): the prior of the latent
    of each scale sees the image and the latents above, the posterior a rater's mask as well. Minimised is, for each
    target mask y and averaged over the batch,

        -log p(y | x, z_1 .. z_L)  +  beta * sum over l of KL(q(z_l | z_<l, x, y) || p(z_l | z_<l, x)),   z ~ q,

    or another ``bound``; each KL is in closed form given the sampled latents above.

    **What differs.** Theirs have a latent at every position of the coarse grids, drawn apart. Draw k must be one
    function for all slices and windows of a scan, so that volumes add up; noise that has a place would be another
    function in each window, and noise repeated over places would leave q and p without a common support, and their KL
    infinite. Here each scale has one vector for the whole image, whose density and KL are proper, and which acts
    through maps that the image makes (`probseg.networks.LatentLadder`), so that what one number does still depends on
    the place. Two structures in one image share the noise, as the two lungs of a scan do.

    The U-Net is computed once an image. The ladder, which is repeated for each reading, is narrow.

    Args:
        network: a network with ``pyramid`` and ``head``, such as `probseg.networks.UNet`.
        latents: length of the latent vector of each scale, coarse first; at most as many as the network has levels.
        widths: channels of the ladder at each level, coarse first.
        beta: weight of the KL terms; 1 is the evidence lower bound.
        betas: further weights, one for the KL of each scale, coarse first; None for 1 each. With free bits, which the
            bound gives to each dimension, it is the weighted KL of a dimension that is free.
        prior_weight: weight of a further term, the cross entropy of the mean probabilities over ``prior_samples``
            samples of the prior, as in `ProbabilisticUNet`: training then sees what prediction does.
        mixture_weight: weight of another, the likelihood of whole masks under the mixture of the same samples,
            ``-log 1/K sum_k p(y | x, z_k)``, as in `StochasticSegmentation`. With both 0, the default, it is the bound
            alone.
        prior_samples: K.
        deep_supervision: weight of the log-likelihood of coarser scales, each with a head of its own, as in PHiSeg; a
            scale counts half as much as the next finer one. 0 for none.
        encoder_channels: widths of the network that sees the masks.
        bound: what is minimised, one of `probseg.models.bounds`; by default its `EvidenceBound` with ``beta``.
        kwargs: those of `SegmentationModule`.
    """

    betas: Tensor

    def __init__(
        self,
        network: nn.Module,
        latents: Sequence[int] = (4, 4, 4),
        widths: Sequence[int] = (32, 32, 24, 8),
        beta: float = 1.0,
        betas: Sequence[float] | None = None,
        prior_weight: float = 0.0,
        mixture_weight: float = 0.0,
        prior_samples: int = 8,
        deep_supervision: float = 0.0,
        encoder_channels: Sequence[int] = (16, 32, 48),
        bound: LatentBound | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        if not isinstance(network, PyramidNetwork):
            raise ProbsegError(
                "E_SCHEMA",
                f"HierarchicalUNet needs a network with pyramid and head, which {type(network).__name__} lacks; use "
                "probseg.networks.UNet",
            )
        if prior_samples < 1 or min(prior_weight, mixture_weight, deep_supervision) < 0:
            raise ProbsegError(
                "E_SCHEMA",
                "prior_samples must be at least 1, and prior_weight, mixture_weight and deep_supervision at least 0, "
                f"but they are {prior_samples}, {prior_weight}, {mixture_weight} and {deep_supervision}",
            )
        if deep_supervision and network.fold & (network.fold - 1):
            raise ProbsegError(
                "E_SCHEMA", f"deep_supervision needs a network whose fold is a power of 2, but it is {network.fold}"
            )
        self.bound = _chosen_bound(bound, beta, betas, len(latents))
        self.prior_weight = prior_weight
        self.mixture_weight = mixture_weight
        self.prior_samples = prior_samples
        self.deep_supervision = deep_supervision
        classes, dimensions = network.num_classes, network.dimensions
        self.encoder = MaskEncoder(network.in_channels + classes, encoder_channels, dimensions)
        patch = network.fold**dimensions
        self.ladder = LatentLadder(
            network.pyramid_channels, classes * patch, patch, latents, widths, self.encoder.size, dimensions
        )
        weights = torch.tensor([1.0] * len(latents) if betas is None else list(betas))
        repeats = torch.tensor(latents)
        self.register_buffer("betas", weights.repeat_interleave(repeats, output_size=sum(latents)), persistent=False)
        coarser = self.ladder.widths[:-1] if deep_supervision else ()
        self.deep_heads = nn.ModuleList(Pointwise(width, classes) for width in coarser)
        self.alarm = CollapseAlarm()

    @property
    def unet(self) -> PyramidNetwork:
        """The network; a second attribute would write its weights into every checkpoint twice."""
        assert isinstance(self.network, PyramidNetwork)
        return self.network

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """One model, ``draws.count`` readings; the latents of reading k stand at the same noise for every image."""
        noise = draws.noise(sum(self.ladder.latents)).to(image.device).split(self.ladder.latents, dim=1)
        pyramid = self.unet.pyramid(image)
        held = self.ladder(pyramid, lambda rung, _, prior: at_noise(prior, noise[rung]))
        logits = self._logits(pyramid[-1], held[-1], tuple(image.shape[2:]))
        return SegmentationDistribution(logits.transpose(0, 1)[None])

    def _logits(self, features: Tensor, finest: Tensor, space: tuple[int, ...]) -> Tensor:
        """Features of the image and what the ladder holds to logits ``(batch, readings, classes, *space)``.

        The latents change the network's logits. Where its head is a 1 x 1 convolution, as in `probseg.networks.UNet`, a
        change of its features would be no more and cost more.
        """
        change = unfold(self.ladder.answer(finest).flatten(0, 1), self.unet.fold).unflatten(0, finest.shape[:2])
        window = tuple(slice(0, n) for n in space)
        return self.unet.head(features, space).unsqueeze(1) + change[(slice(None), slice(None), slice(None), *window)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The bound an image and its parts, further terms that are asked for, and how many latents are in use."""
        target = self.target(batch, self.num_classes)
        size, masks = target.share.shape
        shares = target.share.flatten()  # (batch * masks,), masks fastest
        chosen = shares.nonzero().squeeze(1) if bool(shares.any()) else torch.arange(len(shares), device=shares.device)
        seen = self._seen(batch.image, target, chosen).repeat_interleave(self.bound.samples, dim=1)
        asked = self.prior_samples if self.prior_weight or self.mixture_weight else 0
        steps = _Ascent(self.ladder, seen, asked)
        pyramid = self.unet.pyramid(batch.image)
        held = self.ladder(pyramid, steps)  # readings: a mask's samples, mask by mask, then samples of the prior
        number = masks * self.bound.samples
        logits = self._logits(pyramid[-1], held[-1], tuple(batch.image.shape[2:]))

        def of_pairs(x: Tensor) -> Tensor:
            """``(batch, masks * samples, ...)`` to ``(samples, chosen, ...)``."""
            return x.unflatten(1, (masks, -1)).movedim(2, 0).flatten(1, 2)[:, chosen]

        evidence = Evidence(
            of_pairs(self._own_likelihood(logits[:, :number], target)),
            of_pairs(steps.log_prior),
            of_pairs(steps.log_posterior),
            self.betas * of_pairs(steps.kl).mean(dim=0),
            shares[chosen] / size,
        )
        terms: dict[str, Tensor] = self.bound(evidence)
        means = of_pairs(steps.means).mean(dim=0).detach()
        terms["active_units"] = active_units(evidence.mean_kl.detach(), means, self.bound.free_bits)
        self.alarm.watch(terms["active_units"])
        of_prior = logits[:, number:].transpose(0, 1)
        if self.prior_weight:
            terms["prior"] = mean_cross_entropy(of_prior, target, self.admissible)
        if self.mixture_weight:
            terms["mixture"] = mask_mixture(of_prior, target, self.admissible)
        if self.deep_supervision:
            terms["deep"] = self._deep(held, target, number)
        weights = {"prior": self.prior_weight, "mixture": self.mixture_weight, "deep": self.deep_supervision}
        further = [weight * terms[name] for name, weight in weights.items() if name in terms]
        return {**terms, "loss": sum(further, start=terms["loss"])}

    def _seen(self, image: Tensor, target: Target, chosen: Tensor) -> Tensor:
        """What the posteriors see of each mask ``(batch, masks, width)``; nothing of masks that nobody drew."""
        channels = mask_channels(target, self.admissible)
        images = image.unsqueeze(1).expand(-1, channels.shape[1], *image.shape[1:])
        pairs = torch.cat([images, channels], dim=2).flatten(0, 1)
        found = self.encoder(pairs[chosen])
        return found.new_zeros(len(pairs), found.shape[1]).index_copy(0, chosen, found).unflatten(0, channels.shape[:2])

    def _own_likelihood(self, logits: Tensor, target: Target, level: int = 0) -> Tensor:
        """Log p of each mask under its own readings, nats: ``(batch, masks * samples)``.

        At a coarser level a voxel stands for all of its block.
        """
        axes = logits.ndim - 3
        labels, rated = (coarsened(x, level, axes) for x in (target.labels, target.rated))
        window = tuple(slice(0, n) for n in labels.shape[2:])
        readings = logits[(slice(None), slice(None), slice(None), *window)].transpose(0, 1)
        every = mask_log_likelihood(readings, labels, rated, self.admissible)  # (masks * samples, batch, masks)
        own = every.unflatten(0, (labels.shape[1], -1)).diagonal(dim1=0, dim2=3)  # (samples, batch, masks)
        return 2 ** (level * axes) * own.permute(1, 2, 0).flatten(1)

    def _deep(self, held: Sequence[Tensor], target: Target, number: int) -> Tensor:
        """Reconstruction at the coarser scales, nats an image."""
        finest = round(math.log2(self.unet.fold))
        total = target.share.new_zeros(())
        for k, (head, rung) in enumerate(
            zip(reversed(self.deep_heads), list(reversed(held))[1:], strict=True), start=1
        ):
            logits = head(rung[:, :number].flatten(0, 1)).unflatten(0, (len(rung), number))
            each = self._own_likelihood(logits, target, finest + k).unflatten(1, (-1, self.bound.samples)).mean(dim=2)
            total = total - 0.5**k * (each * target.share).sum(dim=1).mean()
        return total


def _chosen_bound(bound: LatentBound | None, beta: float, betas: Sequence[float] | None, scales: int) -> LatentBound:
    """The bound that is given, or that of ``beta``; refuses weights that it would not heed."""
    if bound is not None and beta != 1:
        raise ProbsegError(
            "E_SCHEMA", f"beta of HierarchicalUNet is {beta}, but a bound is given; set beta of EvidenceBound"
        )
    if betas is not None and (len(betas) != scales or min(betas) < 0):
        raise ProbsegError(
            "E_SCHEMA", f"betas must be {scales} weights of at least 0, one a scale, but are {list(betas)}"
        )
    if betas is not None and isinstance(bound, ImportanceWeightedBound):
        raise ProbsegError("E_SCHEMA", "an ImportanceWeightedBound has no KL to weigh; leave betas out")
    return EvidenceBound(beta) if bound is None else bound


class _Ascent:
    """Chooses the latents of a training step, rung by rung, and keeps what the objective needs of them.

    Args:
        ladder: whose rungs are climbed.
        seen: ``(batch, masks * samples, width)`` of masks; these readings are drawn from their posteriors.
        asked: how many readings more are drawn from the prior.

    Attributes:
        log_prior, log_posterior: ``(batch, masks * samples)`` log-densities of the latents of all rungs so far.
        kl, means: ``(batch, masks * samples, latents)`` divergence of each dimension, and the posterior's mean where
            its prior is standard normal.
    """

    def __init__(self, ladder: LatentLadder, seen: Tensor, asked: int) -> None:
        self.ladder = ladder
        self.seen = seen
        self.asked = asked
        self.log_prior = seen.new_zeros(seen.shape[:2])
        self.log_posterior = seen.new_zeros(seen.shape[:2])
        self.kl = self.means = seen.new_zeros(*seen.shape[:2], 0)

    def __call__(self, rung: int, visible: Tensor, prior: Independent) -> Tensor:
        """Latents ``(batch, masks * samples + asked, latent)``."""
        number = self.seen.shape[1]
        own = _readings(prior, slice(None, number))
        posterior = self.ladder.posterior(rung, visible[:, :number], own, self.seen)
        z = posterior.rsample()
        self.log_prior = self.log_prior + own.log_prob(z)
        self.log_posterior = self.log_posterior + posterior.log_prob(z)
        self.kl = torch.cat([self.kl, kl_by_dimension(posterior, own)], dim=2)
        self.means = torch.cat([self.means, whitened(posterior, own)[0]], dim=2)
        if not self.asked:
            return z
        others = _readings(prior, slice(-self.asked, None) if prior.batch_shape[1] > 1 else slice(None))
        return torch.cat([z, at_noise(others, z.new_empty(len(z), self.asked, z.shape[2]).normal_())], dim=1)


def _readings(gaussian: Independent, which: slice) -> Independent:
    """Some of the readings of a Gaussian over ``(batch, readings, latent)``."""
    base = gaussian.base_dist
    return Independent(Normal(base.loc[:, which], base.scale[:, which]), 1)
