"""Stochastic segmentation network: a Gaussian over all logits at once, whose few factors are what raters differ in."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.models.sampled import mask_mixture, mean_cross_entropy
from probseg.models.stochastic_region import StochasticRegion
from probseg.networks.low_rank import LowRankHead
from probseg.networks.protocol import FeatureNetwork

__all__ = ["StochasticSegmentation"]


class StochasticSegmentation(SegmentationModule):
    """Logits are Gaussian with covariance P P^T + D, so that whole regions appear and vanish together.

    Monteiro et al. (2020), arXiv:2006.06015. The network gives the mean, and `LowRankHead` the R factors P and the
    diagonal D; both are functions of the image. Minimised is, for each target mask y,

        -log 1/M sum over m of p(y | eta_m),   eta_m ~ N(mu(x), P P^T + D),

    by `torch.logsumexp` over M samples, p(y | eta) being the product over rated voxels. Samples are mu + P z + D^1/2 e,
    which needs no factorisation of a matrix: the fallback to independent logits, which the authors' code takes where
    that fails, does not exist here.

    **Readings.** Draw k has one vector z for every slice and window. The voxel-wise part e cannot be one function of
    all windows and would speckle, so it is averaged over within each reading: sigmoid(a / sqrt(1 + pi D / 8)), MacKay's
    approximation (1992, doi:10.1162/neco.1992.4.5.720), on the logits against background.

    Args:
        network: a network with ``features`` and ``head``.
        rank: R, the number of factors.
        samples: M, how many samples of the logits a training step takes.
        variance: D at the start.
        mean_weight: weight of a further term, the cross entropy of the mean probabilities over the samples (the hybrid
            objective of Sohn et al. 2015, NeurIPS). A likelihood that M samples share is highest when they spread too
            widely, since one of them need fit; this term calibrates their mean. 0, the default, is the paper's.
        region: where logits are random; None for everywhere. Elsewhere P and D are 0.
        kwargs: those of `SegmentationModule`.
    """

    def __init__(
        self,
        network: nn.Module,
        rank: int = 10,
        samples: int = 8,
        variance: float = 0.1,
        mean_weight: float = 0.0,
        region: StochasticRegion | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        if not isinstance(network, FeatureNetwork):
            raise ProbsegError(
                "E_SCHEMA",
                f"StochasticSegmentation needs a network with features and head, which {type(network).__name__} lacks; "
                "use probseg.networks.UNet",
            )
        if rank < 1 or samples < 2 or not 0 < variance < math.inf or mean_weight < 0:
            raise ProbsegError(
                "E_SCHEMA",
                "rank must be at least 1, samples at least 2, variance above 0 and mean_weight at least 0, but are "
                f"{rank}, {samples}, {variance} and {mean_weight}",
            )
        self.rank = rank
        self.samples = samples
        self.mean_weight = mean_weight
        self.region = region
        self.covariance = LowRankHead(network, rank, variance)

    @property
    def unet(self) -> FeatureNetwork:
        """The network; a second attribute would write its weights into every checkpoint twice."""
        assert isinstance(self.network, FeatureNetwork)
        return self.network

    def _moments(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean ``(batch, classes, *space)``, and deviation and factors as `LowRankHead` gives them."""
        space = tuple(image.shape[2:])
        features = self.unet.features(image)
        mean = self.unet.head(features, space).float()
        deviation, factors = self.covariance(features, space)
        if self.region is not None:
            inside = self.region(image)  # (batch, 1, *space)
            deviation, factors = deviation * inside, factors * inside.unsqueeze(1)
        return mean, deviation, factors

    @staticmethod
    def _against_background(mean: Tensor) -> Tensor:
        """Logits ``(batch, classes - 1, *space)`` of the classes above 0, that of class 0 being 0."""
        return mean[:, 1:] - mean[:, :1]

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """One model, ``draws.count`` readings; reading k has the same factors' noise for every image."""
        mean, deviation, factors = self._moments(image)
        z = draws.noise(self.rank).to(image.device)  # (readings, rank)
        foreground = self._against_background(mean) + torch.tensordot(z, factors, dims=([1], [1]))
        foreground = foreground / (1 + math.pi / 8 * deviation**2).sqrt()  # (readings, batch, classes - 1, *space)
        return SegmentationDistribution(_with_background(foreground)[None])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Negative log-likelihood of whole masks an image, nats, averaged over target masks by their share."""
        target = self.target(batch, self.num_classes)
        mean, deviation, factors = self._moments(batch.image)
        z = torch.randn(self.samples, len(batch), self.rank, device=mean.device)
        foreground = self._against_background(mean) + torch.einsum("mbr,br...->mb...", z, factors)
        foreground = foreground + deviation * torch.randn_like(foreground)
        logits = _with_background(foreground)
        terms = {"masks": mask_mixture(logits, target, self.admissible)}
        loss = terms["masks"]
        if self.mean_weight:
            terms["mean"] = mean_cross_entropy(logits, target, self.admissible)
            loss = loss + self.mean_weight * terms["mean"]
        terms["factor_deviation"] = (factors.detach() ** 2).sum(dim=1).mean().sqrt()
        terms["voxel_deviation"] = deviation.detach().mean()
        return {"loss": loss, **terms}


def _with_background(foreground: Tensor) -> Tensor:
    """Logits with a class 0 of 0 in front; the classes are the third axis."""
    return torch.cat([torch.zeros_like(foreground[:, :, :1]), foreground], dim=2)
