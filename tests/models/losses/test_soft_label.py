"""The raters' class distribution as the target."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from probseg.models.losses import CrossEntropyLoss, SoftLabelLoss
from probseg.models.losses.soft_label import class_distribution

from .conftest import ADMISSIBLE, log_probs_of, random_case, target_of


def test_hand_worked():
    log_probs = log_probs_of([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2]])
    target = target_of(
        [[[[0, 1, 0]], [[1, 3, 0]], [[1, 0, 0]]]],
        [[[[True, True, False]], [[True, True, False]], [[True, False, False]]]],
    )
    soft, rated = class_distribution(log_probs, target, ADMISSIBLE)
    assert rated.tolist() == [[[True, True, False]]]
    assert soft[0, :, 0, 0].tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    # of the two raters there one says 1, the other the group, which the prediction splits 2 to 1
    assert soft[0, :, 0, 1].tolist() == pytest.approx([0, (1 + 2 / 3) / 2, (1 / 3) / 2])
    assert soft[0, :, 0, 2].tolist() == [0, 0, 0]
    first = 1 / 3 * math.log(1 / 3 / 0.7) + 2 / 3 * math.log(2 / 3 / 0.2)
    second = 5 / 6 * math.log(5 / 6 / 0.6) + 1 / 6 * math.log(1 / 6 / 0.3)
    got = SoftLabelLoss()(log_probs, target, ADMISSIBLE)["loss"].item()
    assert got == pytest.approx((first + second) / 2, rel=1e-5)
    # weights 1/2, 2 and 1, the group 3/2: the first voxel weighs (1/2 + 2 + 2) / 3, the second (2 + 3/2) / 2
    a, b = 1.5, 1.75
    got = SoftLabelLoss([0.5, 2.0, 1.0])(log_probs, target, ADMISSIBLE)["loss"].item()
    assert got == pytest.approx((a * first + b * second) / (a + b), rel=1e-5)


@pytest.mark.oracle
def test_equal_to_torchs_divergence():
    log_probs, target = random_case(0, labels=3)
    everywhere = target_of(target.labels)
    soft = F.one_hot(everywhere.labels, 3).float().mean(1).movedim(-1, 1)
    expected = F.kl_div(log_probs, soft, reduction="none").sum(1).mean()
    torch.testing.assert_close(SoftLabelLoss()(log_probs, everywhere, ADMISSIBLE)["loss"], expected)


def test_the_raters_distribution_itself_costs_nothing():
    _, target = random_case(1, labels=3)
    everywhere = target_of(target.labels)
    soft = F.one_hot(everywhere.labels, 3).float().mean(1).movedim(-1, 1)
    assert SoftLabelLoss()(soft.clamp(min=1e-20).log(), everywhere, ADMISSIBLE)["loss"].item() == pytest.approx(
        0, abs=1e-6
    )


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_never_negative_and_the_gradient_of_the_likelihood_of_every_rater(seed):
    log_probs, target = random_case(seed)
    everywhere = target_of(target.labels)  # all raters everywhere, groups and unknown included
    gradients = []
    for loss in (SoftLabelLoss(), CrossEntropyLoss()):
        logits = log_probs.clone().requires_grad_()
        value = loss(logits.log_softmax(1), everywhere, ADMISSIBLE)["loss"]
        value.backward()
        gradients.append(logits.grad)
        assert value >= 0
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)
