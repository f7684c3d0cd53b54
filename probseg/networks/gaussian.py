"""An encoder whose output is a Gaussian: the prior and the posterior of the latent-variable families."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from probseg.networks.folding import fold, pad_to_multiple

__all__ = ["GaussianEncoder"]


class GaussianEncoder(nn.Module):
    """Image (and, for a posterior, a mask) to an axis-aligned Gaussian over the latent (Kohl et al. 2018).

    Args:
        in_channels: channels of the input; image channels, plus one a class for a posterior.
        latent: L, the size of the latent vector.
        channels: width of each level.
        dimensions: 2 or 3.
        fold: the input is folded by this factor first; a latent needs no fine detail.
        log_variance: bounds to which the log-variance is clamped, so that neither KL nor samples overflow.
    """

    def __init__(
        self,
        in_channels: int,
        latent: int = 6,
        channels: Sequence[int] = (24, 48, 64),
        dimensions: int = 2,
        fold: int = 4,
        log_variance: tuple[float, float] = (-8.0, 4.0),
    ) -> None:
        super().__init__()
        conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
        norm = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm3d
        pool = nn.AvgPool2d if dimensions == 2 else nn.AvgPool3d
        layers: list[nn.Module] = []
        width = in_channels * fold**dimensions
        for k, outputs in enumerate(channels):
            if k:
                layers.append(pool(2))
            for _ in range(2):
                layers += [conv(width, outputs, 3, padding=1, bias=False), norm(outputs), nn.ReLU(inplace=True)]
                width = outputs
        self.trunk = nn.Sequential(*layers)
        self.moments = nn.Linear(width, 2 * latent)
        self.reset_parameters()
        self.fold = fold
        self.multiple = fold * 2 ** (len(channels) - 1)
        self.log_variance = log_variance
        if dimensions == 2:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    def reset_parameters(self) -> None:
        """Start close to a standard normal, so that prior and posterior begin alike."""
        nn.init.normal_(self.moments.weight, std=0.02)
        nn.init.zeros_(self.moments.bias)

    def forward(self, x: Tensor) -> Independent:
        """``(batch, in_channels, *space)`` to a Gaussian over ``(batch, latent)``, in float32."""
        x = fold(pad_to_multiple(x, self.multiple), self.fold)
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        pooled = self.trunk(x).float().mean(dim=tuple(range(2, x.ndim)))
        with torch.autocast(pooled.device.type, enabled=False):
            mean, log_variance = self.moments(pooled).chunk(2, dim=1)
            return Independent(Normal(mean, (0.5 * log_variance.clamp(*self.log_variance)).exp()), 1)
