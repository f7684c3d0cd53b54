"""One Gaussian a rater: what is known of each rater's way of drawing, and of raters at large."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["RaterStyles"]


class RaterStyles(nn.Module):
    """A Gaussian ``q(s_r) = N(m_r, diag(v_r))`` over the style of each rater, and the population that they come from.

    The consensus is the origin and the mean of all m_r. The population is the Gaussian that makes the sum of the
    divergences least, which needs no training of its own (empirical Bayes); as every maximum of a likelihood, it is
    somewhat too narrow where raters are few:

        p(s) = N(0, Sigma),   Sigma = mean over raters of (diag(v_r) + m_r m_r^T).

    Args:
        raters: R, how many are known.
        latent: L, the length of a style.
        spread: standard deviation from which the means are drawn at the start.
        doubt: standard deviation of every style at the start.
    """

    def __init__(self, raters: int, latent: int, spread: float = 0.5, doubt: float = 0.1) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.empty(raters, latent))  # up to their mean
        self.log_deviation = nn.Parameter(torch.empty(raters, latent))
        self.spread = spread
        self.doubt = doubt
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start with styles that differ: equal ones would learn nothing of their raters for long."""
        nn.init.normal_(self.place, std=self.spread)
        self.log_deviation.fill_(self.doubt).log_()

    @property
    def mean(self) -> Tensor:
        """The means m_r ``(R, L)``; they sum to 0 over raters."""
        return self.place - self.place.mean(dim=0)

    def covariance(self) -> Tensor:
        """Sigma ``(L, L)``; a constant to whoever asks, since it is the best one whatever the styles are."""
        with torch.no_grad():
            mean, variance = self.mean.double(), (2 * self.log_deviation.double()).exp()
            return mean.T @ mean / len(mean) + torch.diag(variance.mean(dim=0))

    def sample(self, rater: Tensor) -> Tensor:
        """Styles ``(..., L)`` drawn for raters ``(...)``; a negative number is the consensus."""
        mean, deviation = (x[rater.clamp(min=0)] for x in (self.mean, self.log_deviation.exp()))
        drawn = mean + deviation * torch.randn_like(mean)
        return torch.where((rater < 0).unsqueeze(-1), 0.0, drawn)

    def population(self, noise: Tensor) -> Tensor:
        """Styles ``(n, L)`` of raters of whom nothing is known, from standard normal numbers ``(n, L)``."""
        factor = torch.linalg.cholesky(self.covariance())
        return (noise.to(factor) @ factor.T).to(self.place)

    def divergence(self) -> Tensor:
        """``(R,)`` nats: ``KL(q(s_r) || p(s))`` of each rater.

        ``(tr(Sigma^-1 (diag(v_r) + m_r m_r^T)) - L + log det Sigma - log det diag(v_r)) / 2``. With Sigma as above its
        sum over raters is ``(R log det Sigma - sum_r log det diag(v_r)) / 2``.
        """
        sigma, mean = self.covariance(), self.mean
        inverse, whole = torch.linalg.inv(sigma).to(mean), torch.logdet(sigma).to(mean)
        variance = (2 * self.log_deviation).exp()
        with torch.autocast(mean.device.type, enabled=False):
            spread = (variance * inverse.diagonal()).sum(dim=1) + ((mean @ inverse) * mean).sum(dim=1)
        return 0.5 * (spread - mean.shape[1] + whole - 2 * self.log_deviation.sum(dim=1))
