"""Where the latent vector meets the features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LatentCombiner"]


class LatentCombiner(nn.Module):
    """Change features according to a latent vector by three 1 x 1 convolutions.

    Kohl et al. (2018), arXiv:1806.05034. The first convolution of (features, tiled latent) is linear in both, so the
    latent enters as a bias of each reading and is never tiled. The result is added to the features, so that a trained
    head stays useful from the first step.

    Args:
        feature_channels: channels of the features.
        latent: L.
        hidden: width between the convolutions.
        dimensions: 2 or 3.
    """

    def __init__(self, feature_channels: int, latent: int = 6, hidden: int = 24, dimensions: int = 2) -> None:
        super().__init__()
        conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.from_features = conv(feature_channels, hidden, 1)
        self.from_latent = nn.Linear(latent, hidden, bias=False)
        self.between = conv(hidden, hidden, 1)
        self.to_features = conv(hidden, feature_channels, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start the latent's weights large: a small start lets it collapse before it is used."""
        nn.init.normal_(self.from_latent.weight, std=0.5)

    def forward(self, features: Tensor, latent: Tensor) -> Tensor:
        """Features under each latent.

        Args:
            features: ``(batch, channels, *folded)``.
            latent: ``(readings, batch, latent)``.

        Returns:
            ``(readings * batch, channels, *folded)``, readings slowest.
        """
        readings = latent.shape[0]
        space = (1,) * (features.ndim - 2)
        shared = self.from_features(features)
        bias = self.from_latent(latent.to(self.from_latent.weight.dtype)).to(shared.dtype)
        hidden = F.relu(shared + bias.unflatten(-1, (-1, *space)))  # (readings, batch, hidden, *folded)
        hidden = hidden.flatten(0, 1)
        if hidden.ndim == 4:
            hidden = hidden.contiguous(memory_format=torch.channels_last)
        change = self.to_features(F.relu(self.between(hidden)))
        return (features.unsqueeze(0) + change.unflatten(0, (readings, -1))).flatten(0, 1)
