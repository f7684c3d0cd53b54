"""The raters' likelihood: torch's own mixture as oracle, groups, and voxels that nobody rated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily

from probseg.analysis.rater_likelihood import mask_log_likelihoods, rater_log_likelihood
from probseg.distribution import SegmentationDistribution
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.metrics import RaterLikelihood

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=20),),
    unknown=255,
)
ADMISSIBLE = torch.from_numpy(LABELS.admissible)


def figures(distribution, masks, rated) -> dict[str, float]:
    metric = RaterLikelihood(ADMISSIBLE)
    metric.update(distribution, masks, rated)
    return {k: v.item() for k, v in metric.compute().items()}


@pytest.mark.parametrize("space", [(4, 5), (2, 3, 3)])
def test_equal_to_the_mixture_of_draws(space):
    generator = torch.Generator().manual_seed(0)
    d = SegmentationDistribution(3 * torch.randn(2, 3, 1, 3, *space, generator=generator))
    masks = torch.randint(0, 3, (1, 4, *space), generator=generator)
    logits = d.logits[:, :, 0].flatten(0, 1).movedim(1, -1)
    mixture = MixtureSameFamily(Categorical(torch.ones(6)), Independent(Categorical(logits=logits), len(space)))
    voxels = 4 * math.prod(space)
    got = figures(d, masks, torch.ones_like(masks, dtype=torch.bool))
    assert got["log_likelihood"] == pytest.approx(mixture.log_prob(masks[0]).sum().item() / voxels, rel=1e-5)
    voxelwise = Categorical(probs=d.mean[0].movedim(0, -1))
    assert got["nll_image"] == pytest.approx(-voxelwise.log_prob(masks[0]).sum().item() / voxels, rel=1e-5)


def test_groups_unknown_and_unrated_voxels():
    probs = torch.tensor([0.5, 0.3, 0.2])
    d = SegmentationDistribution(probs.log().reshape(1, 1, 1, 3, 1, 1).expand(1, 1, 1, 3, 1, 4))
    masks = torch.tensor([[[[1, 3, 4, 0]]]])  # glass, opacity, unknown, and background that was not rated
    rated = torch.tensor([[[[True, True, True, False]]]])
    expected = (math.log(0.3) + math.log(0.5)) / 2  # unknown is no trial
    assert figures(d, masks, rated)["log_likelihood"] == pytest.approx(expected)
    assert figures(d, masks, rated)["nll_image"] == pytest.approx(-expected)
    nobody = figures(d, masks, torch.zeros_like(rated))
    assert all(math.isnan(v) for v in nobody.values())


def test_doubt_placed_in_whole_readings_is_rewarded_over_doubt_in_voxels():
    both = torch.tensor([[[[1] * 6], [[0] * 6]]])
    rated = torch.ones_like(both, dtype=torch.bool)
    logits = torch.full((1, 2, 1, 3, 1, 6), -20.0)
    logits[0, 0, 0, 1] = logits[0, 1, 0, 0] = 20.0
    readings = figures(SegmentationDistribution(logits), both, rated)
    voxels = figures(SegmentationDistribution(logits.exp().mean(1, keepdim=True).log()), both, rated)
    assert readings["nll_image"] == pytest.approx(voxels["nll_image"], rel=1e-3)
    assert readings["log_likelihood"] == pytest.approx(-math.log(2) / 6, rel=1e-4)
    assert voxels["log_likelihood"] == pytest.approx(-math.log(2), rel=1e-3)


def test_a_class_held_for_impossible_costs_much_but_not_infinity():
    logits = torch.tensor([200.0, -200.0, -200.0]).reshape(1, 1, 1, 3, 1, 1)
    one = torch.tensor([[[[1]]]])
    got = figures(SegmentationDistribution(logits), one, torch.ones_like(one, dtype=torch.bool))
    assert got["nll_image"] == pytest.approx(-math.log(1e-12), rel=1e-6)
    assert math.isfinite(got["log_likelihood"])


@pytest.mark.parametrize("space", [(4, 5), (2, 3, 3)])
def test_equal_to_numpy_with_groups_unknown_and_absent_raters(space):
    generator = torch.Generator().manual_seed(2)
    d = SegmentationDistribution(3 * torch.randn(2, 3, 1, 3, *space, generator=generator))
    masks = torch.randint(0, 5, (1, 4, *space), generator=generator)
    rated = torch.rand(1, 4, *space, generator=generator) < 0.8
    rated[0, 3] = False
    log_p = d.log_probs[:, :, 0].flatten(0, 1).numpy()
    expected = rater_log_likelihood(log_p, masks[0].numpy(), ADMISSIBLE.numpy(), rated[0].numpy())
    assert figures(d, masks, rated)["log_likelihood"] == pytest.approx(expected, rel=1e-5)
    each = mask_log_likelihoods(log_p, masks[0].numpy(), ADMISSIBLE.numpy(), rated[0].numpy())
    np.testing.assert_allclose(d.log_prob(masks, rated, ADMISSIBLE)[0].numpy(), each, rtol=1e-5)
