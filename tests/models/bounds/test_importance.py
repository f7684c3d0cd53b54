"""The importance-weighted bound against a model whose likelihood is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from probseg.errors import ProbsegError
from probseg.models.bounds import Evidence, EvidenceBound, ImportanceWeightedBound

# p(z) = N(0, 1), p(y | z) = N(z, 1/2) at y = 1.5, so p(y) = N(0, 3/2) and p(z | y) = N(1, 1/3); q is another Gaussian
PRIOR, POSTERIOR = Normal(0.0, 1.0), Normal(torch.tensor(0.4), torch.tensor(0.8))
LOG_P_Y = Normal(0.0, math.sqrt(1.5)).log_prob(torch.tensor(1.5)).item()


def evidence(samples: int, pairs: int) -> Evidence:
    torch.manual_seed(0)
    z = POSTERIOR.sample((samples, pairs))
    return Evidence(
        Normal(z, math.sqrt(0.5)).log_prob(torch.tensor(1.5)),
        PRIOR.log_prob(z),
        POSTERIOR.log_prob(z),
        kl_divergence(POSTERIOR, PRIOR).expand(pairs, 1),
        torch.full((pairs,), 1 / pairs),
    )


def test_hand_worked():
    two = Evidence(
        torch.tensor([[-1.0], [-3.0]]),
        torch.tensor([[-0.5], [-0.2]]),
        torch.tensor([[-0.1], [-0.4]]),
        torch.tensor([[0.7]]),
        torch.tensor([1.0]),
    )
    terms = ImportanceWeightedBound(2)(two)
    assert terms["loss"].item() == pytest.approx(-math.log((math.exp(-1.4) + math.exp(-2.8)) / 2))
    assert terms["reconstruction"].item() == pytest.approx(2)
    assert terms["kl"].item() == pytest.approx(0.7)


def test_one_sample_is_the_evidence_lower_bound_in_expectation():
    one = evidence(1, 100_000)
    # the standard deviation of the difference is 0.8 / sqrt(100,000) = 0.003
    importance, elbo = (bound(one)["loss"].item() for bound in (ImportanceWeightedBound(1), EvidenceBound()))
    assert importance == pytest.approx(elbo, abs=0.01)


def test_the_bound_rises_with_k_to_the_likelihood():
    bounds = [-ImportanceWeightedBound(k)(evidence(k, 20_000))["loss"].item() for k in (1, 2, 5, 20, 100)]
    steps = torch.tensor(bounds).diff()
    assert (steps > 0.002).all(), bounds
    assert bounds[0] < LOG_P_Y - 0.1
    assert bounds[-1] == pytest.approx(LOG_P_Y, abs=0.01)


def test_wrong_settings():
    with pytest.raises(ProbsegError, match="samples of an ImportanceWeightedBound must be at least 1, not 0"):
        ImportanceWeightedBound(0)
