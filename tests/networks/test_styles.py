"""Styles of raters: the population is the best one, the divergence the textbook's, and the consensus the origin."""

from __future__ import annotations

import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from probseg.networks import RaterStyles


def build(raters: int = 5, latent: int = 3) -> RaterStyles:
    torch.manual_seed(0)
    styles = RaterStyles(raters, latent)
    with torch.no_grad():
        styles.log_deviation.normal_(-1.0, 0.5)
    return styles


def textbook(styles: RaterStyles, covariance: torch.Tensor) -> torch.Tensor:
    """The divergence of each rater by torch."""
    posterior = Independent(Normal(styles.mean, styles.log_deviation.exp()), 1)
    q = MultivariateNormal(posterior.mean, torch.diag_embed(posterior.variance))
    return kl_divergence(q, MultivariateNormal(torch.zeros(styles.mean.shape[1]), covariance))


def test_the_divergence_is_that_of_torch():
    styles = build()
    torch.testing.assert_close(styles.divergence(), textbook(styles, styles.covariance().float()))
    assert (styles.divergence() > 0).all()


def test_no_other_population_has_a_smaller_divergence():
    styles = build()
    best = styles.covariance().float()
    least = textbook(styles, best).sum()
    for k in range(3):
        for factor in (0.95, 1.05):
            other = best.clone()
            other[k, k] *= factor
            assert textbook(styles, other).sum() > least
    turned = best.clone()
    turned[0, 1] += 0.02
    turned[1, 0] += 0.02
    assert textbook(styles, turned).sum() > least


def test_two_raters_by_hand():
    # m = 2 and -2, v = 1: Sigma = 1 + 4 = 5, KL = (5 / 5 - 1 + ln 5 - ln 1) / 2
    styles = RaterStyles(2, 1)
    with torch.no_grad():
        styles.place.copy_(torch.tensor([[7.0], [3.0]]))  # their mean is the consensus
        styles.log_deviation.fill_(0.0)
    assert styles.mean.tolist() == [[2.0], [-2.0]]
    assert styles.covariance().tolist() == [[5.0]]
    torch.testing.assert_close(styles.divergence(), torch.tensor([5.0, 5.0]).log() / 2)


def test_a_rater_alone_is_the_consensus():
    styles = RaterStyles(1, 2)
    assert styles.mean.tolist() == [[0.0, 0.0]]
    torch.testing.assert_close(styles.divergence(), torch.zeros(1))


def test_the_population_has_the_covariance_that_it_says():
    styles = build()
    drawn = styles.population(torch.randn(20000, 3, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(drawn.T.cov(), styles.covariance().float(), atol=0.02, rtol=0.05)


def test_samples_are_of_the_rater_asked_for_and_the_consensus_is_the_origin():
    styles = build()
    rater = torch.tensor([[2, -1]]).repeat(20000, 1)
    drawn = styles.sample(rater)
    assert (drawn[:, 1] == 0).all()
    torch.testing.assert_close(drawn[:, 0].mean(0), styles.mean[2], atol=0.02, rtol=0)
    torch.testing.assert_close(drawn[:, 0].std(0), styles.log_deviation[2].exp(), atol=0.02, rtol=0.03)
