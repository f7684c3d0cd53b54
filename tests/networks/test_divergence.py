"""Divergences by dimension against torch's closed forms and Monte Carlo."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from probseg.networks.divergence import at_noise, chosen_of, kl_by_dimension, whitened


def full(seed: int, batch: int = 5, latent: int = 3) -> MultivariateNormal:
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(batch, latent, latent, generator=generator).tril(-1)
    factor += torch.diag_embed(0.3 + torch.rand(batch, latent, generator=generator))
    return MultivariateNormal(torch.randn(batch, latent, generator=generator), scale_tril=factor)


def diagonal(seed: int, batch: int = 5, latent: int = 3) -> Independent:
    generator = torch.Generator().manual_seed(seed)
    scale = 0.3 + torch.rand(batch, latent, generator=generator)
    return Independent(Normal(torch.randn(batch, latent, generator=generator), scale), 1)


def test_hand_worked_with_a_correlation():
    q = MultivariateNormal(torch.tensor([[1.0, 2.0]]), scale_tril=torch.tensor([[[2.0, 0.0], [3.0, 0.5]]]))
    p = MultivariateNormal(torch.zeros(1, 2), torch.eye(2))
    # 1/2 (1 + 4 - 1) - log 2, and 1/2 (4 + 9 + 1/4 - 1) + log 2
    assert kl_by_dimension(q, p)[0].tolist() == pytest.approx([2 - 0.693147, 6.125 + 0.693147])


@pytest.mark.parametrize("kind", [full, diagonal])
def test_the_parts_sum_to_torchs_and_none_is_negative(kind):
    q, p = kind(0), kind(1)
    parts = kl_by_dimension(q, p)
    torch.testing.assert_close(parts.sum(dim=1), kl_divergence(q, p), rtol=1e-4, atol=1e-5)
    assert (parts >= -1e-6).all()
    torch.testing.assert_close(kl_by_dimension(q, q), torch.zeros(5, 3), atol=1e-6, rtol=0)
    if kind is diagonal:
        torch.testing.assert_close(parts, kl_divergence(q.base_dist, p.base_dist))


def test_equal_to_monte_carlo():
    q, p = full(0, 2), full(1, 2)
    torch.manual_seed(0)
    z = q.sample((200_000,))
    ratio = q.log_prob(z) - p.log_prob(z)
    error = ratio.std(dim=0) / 200_000**0.5
    assert ((kl_by_dimension(q, p).sum(dim=1) - ratio.mean(dim=0)).abs() < 4 * error).all()


@pytest.mark.parametrize("kind", [full, diagonal])
def test_whitening_makes_p_standard_normal(kind):
    mean, factor = whitened(kind(0), kind(0))
    torch.testing.assert_close(mean, torch.zeros(5, 3), atol=1e-6, rtol=0)
    expected = torch.eye(3).expand(5, 3, 3) if kind is full else torch.ones(5, 3)
    torch.testing.assert_close(factor, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [full, diagonal])
def test_noise_is_placed_as_rsample_places_it(kind):
    gaussian = kind(2)
    torch.manual_seed(0)
    sampled = gaussian.rsample((4,))
    torch.manual_seed(0)
    torch.testing.assert_close(at_noise(gaussian, torch.randn(4, 5, 3)), sampled)
    torch.testing.assert_close(at_noise(gaussian, torch.zeros(2, 1, 3)), gaussian.mean.expand(2, 5, 3))


@pytest.mark.parametrize("kind", [full, diagonal])
def test_chosen_gaussians_may_repeat(kind):
    gaussian = kind(3)
    chosen = chosen_of(gaussian, torch.tensor([4, 0, 4]))
    z = torch.rand(3, 3)
    expected = torch.stack([kind(3).log_prob(row.expand(5, 3))[k] for row, k in zip(z, (4, 0, 4), strict=True)])
    torch.testing.assert_close(chosen.log_prob(z), expected)
