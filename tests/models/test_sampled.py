"""The two ways to hold samples to masks, by hand and against each other."""

from __future__ import annotations

import math

import torch

from probseg.distribution import SegmentationDistribution
from probseg.models.sampled import mask_mixture, mean_cross_entropy
from probseg.models.targets import Target


def target(labels: torch.Tensor, rated: torch.Tensor | None = None) -> Target:
    rated = torch.ones_like(labels, dtype=torch.bool) if rated is None else rated
    share = rated.flatten(2).any(dim=2).float()
    return Target(labels, rated, share / share.sum(dim=1, keepdim=True))


def test_by_hand():
    # one image of two pixels, one mask (1, 1); sample 0 says 0.9 and 0.9, sample 1 says 0.2 and 0.4
    p = torch.tensor([[0.9, 0.9], [0.2, 0.4]]).reshape(2, 1, 1, 1, 2)
    logits = torch.cat([1 - p, p], dim=2).log()
    mask = target(torch.ones(1, 1, 1, 2, dtype=torch.uint8))
    leaves = torch.eye(2, dtype=torch.bool)
    torch.testing.assert_close(mask_mixture(logits, mask, leaves), -torch.tensor((0.81 + 0.08) / 2).log())
    torch.testing.assert_close(mean_cross_entropy(logits, mask, leaves), -torch.tensor(0.55 * 0.65).log())


def test_the_mixture_is_what_the_distribution_calls_its_log_probability(info):
    torch.manual_seed(0)
    logits = torch.randn(5, 2, 3, 6, 4)
    labels, rated = torch.randint(0, 5, (2, 3, 6, 4)).to(torch.uint8), torch.rand(2, 3, 6, 4) < 0.8
    admissible = torch.from_numpy(info.labels.admissible)
    expected = -SegmentationDistribution(logits[None]).log_prob(labels, rated, admissible).mean()
    torch.testing.assert_close(mask_mixture(logits, target(labels, rated), admissible), expected)


def test_equal_samples_make_both_the_same_and_the_mixture_forgives_a_bad_one(info):
    torch.manual_seed(0)
    admissible = torch.from_numpy(info.labels.admissible)
    logits, labels = torch.randn(1, 2, 3, 6, 4), target(torch.randint(0, 3, (2, 3, 6, 4)).to(torch.uint8))
    same = logits.expand(4, -1, -1, -1, -1)
    torch.testing.assert_close(mask_mixture(same, labels, admissible), mean_cross_entropy(same, labels, admissible))
    wrong = torch.cat([logits, -50 * logits])  # a second sample that fits nothing costs at most log 2
    both, alone = mask_mixture(wrong, labels, admissible), mask_mixture(logits, labels, admissible)
    assert alone <= both <= alone + math.log(2) + 1e-4
