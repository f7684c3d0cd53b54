"""Features to the parameters of a Gaussian over logits: a diagonal and a few factors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probseg.networks.folding import unfold
from probseg.networks.protocol import FeatureNetwork

__all__ = ["LowRankHead"]


class LowRankHead(nn.Module):
    """A 1 x 1 convolution that reads the covariance of the logits off the features of a network.

    Monteiro et al. (2020), arXiv:2006.06015: Sigma = P P^T + D. Only differences of logits matter, so the logit of
    class 0 is the reference: its rows of P and D are 0 and are not computed.

    Args:
        network: whose features are read; where its positions stand for several pixels (``fold``), so do the outputs,
            and where they do not, the outputs are interpolated to the size of the image.
        rank: R, the number of factors.
        variance: D at the start.
    """

    def __init__(self, network: FeatureNetwork, rank: int, variance: float = 0.1) -> None:
        super().__init__()
        self.fold = int(getattr(network, "fold", 1))
        self.aligned = hasattr(network, "fold")  # positions lie on the pixels, padded at the end
        self.rank = rank
        self.foreground = network.num_classes - 1
        self.dimensions = network.dimensions
        self.variance = variance
        conv = nn.Conv2d if network.dimensions == 2 else nn.Conv3d
        self.parameters_of = conv(
            network.feature_channels, (1 + rank) * self.foreground * self.fold**self.dimensions, 1
        )
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start with the variance asked for, and with factors of about unit size that differ from one another."""
        nn.init.normal_(self.parameters_of.weight, std=self.parameters_of.weight.shape[1] ** -0.5)
        bias = torch.zeros_like(self.parameters_of.bias).unflatten(0, (1 + self.rank, -1))  # type: ignore[arg-type]
        bias[0] = torch.tensor(self.variance).log()
        self.parameters_of.bias.copy_(bias.flatten())  # type: ignore[union-attr]  # Conv has a bias

    def forward(self, features: Tensor, space: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Features of a batch to the covariance of its logits.

        Args:
            features: ``(batch, channels, *folded)``.
            space: of the image.

        Returns:
            Standard deviations ``(batch, classes - 1, *space)`` of the diagonal part and factors
            ``(batch, rank, classes - 1, *space)``, float32.
        """
        maps = unfold(self.parameters_of(features), self.fold)
        if not self.aligned and tuple(maps.shape[2:]) != space:
            maps = F.interpolate(maps, space, mode="bilinear" if self.dimensions == 2 else "trilinear")
        maps = maps[(slice(None), slice(None), *(slice(0, n) for n in space))].float()
        maps = maps.unflatten(1, (1 + self.rank, self.foreground))
        return (0.5 * maps[:, 0].clamp(-12.0, 6.0)).exp(), maps[:, 1:]
