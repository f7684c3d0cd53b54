"""An encoder whose output is a Gaussian: the prior and the posterior of the latent-variable families."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from probseg.errors import ProbsegError
from probseg.networks.folding import fold, pad_to_multiple

__all__ = ["GaussianEncoder"]

_COVARIANCES = ("diagonal", "full")
_POOLINGS = ("mean", "mean_max")


class GaussianEncoder(nn.Module):
    """Image (and, for a posterior, a mask) to a Gaussian over the latent (Kohl et al. 2018, arXiv:1806.05034).

    With ``covariance="full"`` the head also gives the part of the Cholesky factor L below its diagonal, so that the
    covariance is L L^T and correlations of latent dimensions can be learnt; the diagonal of L is that of the standard
    deviations in the diagonal case.

    Args:
        in_channels: channels of the input; image channels, plus one a class for a posterior.
        latent: L, the size of the latent vector.
        channels: width of each level.
        dimensions: 2 or 3.
        fold: the input is folded by this factor first; a latent needs no fine detail.
        log_variance: bounds to which the log-variance is clamped, so that neither KL nor samples overflow.
        covariance: ``diagonal`` or ``full``.
        pooling: how space becomes one vector: its ``mean``, or ``mean_max``, mean and maximum side by side, each
            normalised over its channels. A mask of a few dozen voxels hardly moves a mean over the whole image, so
            the latent of small structures comes alive much sooner with the maximum.
    """

    def __init__(
        self,
        in_channels: int,
        latent: int = 6,
        channels: Sequence[int] = (24, 48, 64),
        dimensions: int = 2,
        fold: int = 4,
        log_variance: tuple[float, float] = (-8.0, 4.0),
        covariance: str = "diagonal",
        pooling: str = "mean",
    ) -> None:
        super().__init__()
        if covariance not in _COVARIANCES or pooling not in _POOLINGS:
            raise ProbsegError(
                "E_SCHEMA",
                f"covariance must be one of {', '.join(_COVARIANCES)} and pooling one of {', '.join(_POOLINGS)}, but "
                f"are '{covariance}' and '{pooling}'",
            )
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
        below = latent * (latent - 1) // 2 if covariance == "full" else 0
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)] if pooling == "mean_max" else [])
        self.moments = nn.Linear(width * max(1, len(self.norms)), 2 * latent + below)
        self.reset_parameters()
        self.latent = latent
        self.covariance = covariance
        self.fold = fold
        self.multiple = fold * 2 ** (len(channels) - 1)
        self.log_variance = log_variance
        if dimensions == 2:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    def reset_parameters(self) -> None:
        """Start close to a standard normal, so that prior and posterior begin alike."""
        nn.init.normal_(self.moments.weight, std=0.02)
        nn.init.zeros_(self.moments.bias)

    def forward(self, x: Tensor) -> Distribution:
        """``(batch, in_channels, *space)`` to a Gaussian over ``(batch, latent)``, in float32.

        Returns:
            `Independent` of `Normal` for a diagonal covariance, `MultivariateNormal` for a full one.
        """
        x = fold(pad_to_multiple(x, self.multiple), self.fold)
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        grid = self.trunk(x).float()
        space = tuple(range(2, x.ndim))
        with torch.autocast(x.device.type, enabled=False):
            pooled = grid.mean(dim=space)
            if self.norms:
                mean_norm, max_norm = self.norms
                pooled = torch.cat([mean_norm(pooled), max_norm(grid.amax(dim=space))], dim=1)
            numbers = self.moments(pooled)
            mean, log_variance = numbers[:, : 2 * self.latent].chunk(2, dim=1)
            deviation = (0.5 * log_variance.clamp(*self.log_variance)).exp()
            if self.covariance == "diagonal":
                return Independent(Normal(mean, deviation), 1)
            factor = torch.diag_embed(deviation)
            row, column = torch.tril_indices(self.latent, self.latent, offset=-1, device=factor.device)
            factor[:, row, column] = numbers[:, 2 * self.latent :]
            return MultivariateNormal(mean, scale_tril=factor, validate_args=False)
