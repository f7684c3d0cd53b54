"""What the latent-variable families ask of two Gaussians: a divergence by dimension, and the place of given noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

__all__ = ["at_noise", "chosen_of", "kl_by_dimension", "whitened"]


def _place_and_factor(gaussian: Distribution) -> tuple[Tensor, Tensor]:
    """Mean ``(..., latent)`` and what noise is multiplied by: deviations, or a factor ``(..., latent, latent)``."""
    if isinstance(gaussian, MultivariateNormal):
        return gaussian.loc, gaussian.scale_tril
    assert isinstance(gaussian, Independent) and isinstance(gaussian.base_dist, Normal)
    return gaussian.base_dist.loc, gaussian.base_dist.scale


def at_noise(gaussian: Distribution, noise: Tensor) -> Tensor:
    """The latent that stands at given standard normal noise: mean + factor * noise.

    Args:
        gaussian: over ``(..., latent)``.
        noise: broadcasts to ``(samples, ..., latent)``; fixed noise makes reading k the same function of every image.
    """
    place, factor = _place_and_factor(gaussian)
    if factor.ndim == place.ndim:
        return place + factor * noise
    return place + (factor @ noise.unsqueeze(-1)).squeeze(-1)


def chosen_of(gaussian: Distribution, index: Tensor) -> Distribution:
    """The Gaussians of a batch at these positions, which may repeat."""
    place, factor = _place_and_factor(gaussian)
    if factor.ndim == place.ndim:
        return Independent(Normal(place[index], factor[index]), 1)
    return MultivariateNormal(place[index], scale_tril=factor[index], validate_args=False)


def whitened(q: Distribution, p: Distribution) -> tuple[Tensor, Tensor]:
    """How q looks where p is standard normal: mean ``(..., latent)`` and Cholesky factor ``(..., latent, latent)``.

    Both Gaussians have the same kind of covariance; for diagonal ones the factor is given as ``(..., latent)``.
    """
    (mean_q, factor_q), (mean_p, factor_p) = _place_and_factor(q), _place_and_factor(p)
    if factor_q.ndim == mean_q.ndim:
        return (mean_q - mean_p) / factor_p, factor_q / factor_p
    difference = (mean_q - mean_p).unsqueeze(-1)
    mean = torch.linalg.solve_triangular(factor_p, difference, upper=False).squeeze(-1)
    return mean, torch.linalg.solve_triangular(factor_p, factor_q, upper=False)


def kl_by_dimension(q: Distribution, p: Distribution) -> Tensor:
    """KL(q || p) of two Gaussians as one part a dimension, ``(..., latent)`` nats, each at least 0.

    With m and C the mean and Cholesky factor of q where p is standard normal, part i is

        1/2 (m_i^2 + sum_j C_ij^2 - 1) - log C_ii,

    the divergence of z_i given z_1..z_(i-1), so that the parts sum to `torch.distributions.kl_divergence` exactly (the
    chain rule). For diagonal covariances it is the divergence of dimension i alone.
    """
    mean, factor = whitened(q, p)
    if factor.ndim == mean.ndim:
        return 0.5 * (mean.square() + factor.square() - 1) - factor.log()
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    return 0.5 * (mean.square() + factor.square().sum(dim=-1) - 1) - diagonal.log()
