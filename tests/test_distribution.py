"""SegmentationDistribution: hand-worked, against torch's own mixture, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily

from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.likelihood import label_log_likelihood

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=20),),
    unknown=255,
)
ADMISSIBLE = torch.from_numpy(LABELS.admissible)


def random_distribution(seed: int, models: int, readings: int, space: tuple[int, ...], scale: float = 3.0):
    generator = torch.Generator().manual_seed(seed)
    return SegmentationDistribution(scale * torch.randn(models, readings, 2, 3, *space, generator=generator))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([(3, 4), (2, 3, 2)]),
    st.sampled_from([0.01, 1.0, 30.0]),
)
def test_the_three_parts_sum_to_the_whole_and_are_not_negative(seed, models, readings, space, scale):
    d = random_distribution(seed, models, readings, space, scale)
    assert (d.entropy - (d.epistemic + d.ambiguity + d.noise)).abs().max() <= 1e-6
    assert min(d.epistemic.min(), d.ambiguity.min(), d.noise.min()) >= -1e-6
    assert d.entropy.max() <= math.log(3) + 1e-6
    if models == 1:
        assert d.epistemic.abs().max() <= 1e-6
    if readings == 1:
        assert d.ambiguity.abs().max() <= 1e-6


def test_entropies_of_two_models_that_contradict_each_other():
    logits = torch.tensor([[50.0, -50.0], [-50.0, 50.0]]).reshape(2, 1, 1, 2, 1, 1)
    d = SegmentationDistribution(logits)
    assert d.epistemic.item() == pytest.approx(math.log(2))  # each is sure, together they know nothing
    assert d.ambiguity.item() == pytest.approx(0)
    assert d.noise.item() == pytest.approx(0)
    e = SegmentationDistribution(logits.movedim(0, 1))  # the same draws, as readings of one model
    assert e.ambiguity.item() == pytest.approx(math.log(2))
    assert e.epistemic.item() == pytest.approx(0)


def test_log_prob_equals_torchs_mixture():
    d = random_distribution(3, 2, 3, (4, 5))
    masks = torch.randint(0, 3, (2, 4, 4, 5), generator=torch.Generator().manual_seed(1))
    got = d.log_prob(masks, torch.ones_like(masks, dtype=torch.bool), ADMISSIBLE)
    for case in range(2):
        logits = d.logits[:, :, case].flatten(0, 1).movedim(1, -1)  # (draws, rows, columns, classes)
        mixture = MixtureSameFamily(Categorical(torch.ones(6)), Independent(Categorical(logits=logits), 2))
        torch.testing.assert_close(got[case], mixture.log_prob(masks[case]))


def test_groups_and_unknown_in_the_likelihood():
    log_probs = torch.tensor([0.5, 0.3, 0.2]).log().reshape(1, 3, 1)
    expected = {0: math.log(0.5), 1: math.log(0.3), 2: math.log(0.2), 3: math.log(0.5), 4: 0.0}
    for label, value in expected.items():
        got = label_log_likelihood(log_probs, torch.tensor([[label]]), ADMISSIBLE, dim=1)
        assert got.item() == pytest.approx(value, abs=1e-6)


def test_unknown_has_no_gradient_and_a_group_does_not_choose_between_its_classes():
    logits = torch.zeros(1, 3, 2, requires_grad=True)
    labels = torch.tensor([[4, 3]])
    label_log_likelihood(logits.log_softmax(1), labels, ADMISSIBLE, dim=1).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, :, 0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(logits.grad[0, :, 1], [-1 / 3, 1 / 6, 1 / 6], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_rater_order_is_irrelevant_and_a_missing_rater_equals_a_dropped_one(seed, order):
    d = random_distribution(seed, 2, 2, (3, 3))
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, 5, (2, 4, 3, 3), generator=generator)
    rated = torch.rand(2, 4, 3, 3, generator=generator) < 0.7
    rated[:, 1] = False
    whole = d.log_prob(masks, rated, ADMISSIBLE)
    torch.testing.assert_close(d.log_prob(masks[:, order], rated[:, order], ADMISSIBLE), whole[:, order])
    assert whole[:, 1].abs().max() <= 1e-6
    kept = [0, 2, 3]
    torch.testing.assert_close(d.log_prob(masks[:, kept], rated[:, kept], ADMISSIBLE), whole[:, kept])


def test_mean_mode_readings_and_cat():
    a, b = random_distribution(1, 1, 2, (2, 2)), random_distribution(2, 2, 2, (2, 2))
    both = SegmentationDistribution.cat([a, b])
    assert (both.num_models, both.num_readings, both.num_draws, both.num_classes) == (3, 2, 6, 3)
    torch.testing.assert_close(both.mean, (a.mean + 2 * b.mean) / 3)
    assert both.readings().shape == (6, 2, 2, 2)
    torch.testing.assert_close(both.readings()[:2].long(), a.logits.argmax(3).flatten(0, 1))
    maps = both.maps()
    torch.testing.assert_close(maps.mode, maps.mean.argmax(1))
    with pytest.raises(ProbsegError, match="equal shapes"):
        SegmentationDistribution.cat([a, random_distribution(1, 1, 3, (2, 2))])


def test_wrong_axes_are_refused():
    with pytest.raises(ProbsegError, match="E_NDIM"):
        SegmentationDistribution(torch.zeros(1, 2, 3, 4))


def test_half_precision_is_kept_as_float32():
    assert SegmentationDistribution(torch.zeros(1, 1, 1, 2, 2, 2, dtype=torch.bfloat16)).logits.dtype == torch.float32


def test_draw_k_does_not_depend_on_the_count_and_members_differ():
    torch.testing.assert_close(Draws(3, 5).noise(4), Draws(9, 5).noise(4)[:3])
    assert not torch.equal(Draws(3, 5).noise(4), Draws(3, 6).noise(4))
    shares = [Draws(16, 0).share(k, 3) for k in range(3)]
    assert [s.count for s in shares] == [6, 6, 6]
    assert len({s.seed for s in shares}) == 3
    with pytest.raises(ProbsegError, match="at least 1"):
        Draws(0)


def test_one_set_of_weights_has_no_epistemic_uncertainty_at_all():
    logits = 5 * torch.randn(1, 7, 2, 14, 16, 16, generator=torch.Generator().manual_seed(0))
    assert not SegmentationDistribution(logits).epistemic.any()  # not even rounding
