"""What holds for every loss: what is absent, unrated or undecided costs nothing, and the raters' order is no matter."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.models.losses import SegmentationLoss
from probseg.models.losses.base import label_weight, mask_weight
from probseg.models.targets import Target

from .conftest import ADMISSIBLE, LOSSES, random_case, target_of

seeds = st.integers(0, 10_000)
names = st.sampled_from(sorted(LOSSES))


def value_and_gradient(
    loss: SegmentationLoss, log_probs: torch.Tensor, target: Target
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = log_probs.clone().requires_grad_()
    value = loss(logits.log_softmax(1), target, ADMISSIBLE)["loss"]
    value.backward()
    return value.detach(), logits.grad


def assert_same(a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.testing.assert_close(a[0], b[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(a[1], b[1], atol=1e-6, rtol=1e-4)


@settings(max_examples=20)
@given(names, seeds)
def test_what_an_unrated_voxel_is_labelled_is_no_matter(name, seed):
    log_probs, target = random_case(seed)
    other = Target(torch.where(target.rated, target.labels, 2), target.rated, target.share)
    assert_same(*(value_and_gradient(LOSSES[name](), log_probs, t) for t in (target, other)))


@settings(max_examples=20)
@given(names, seeds)
def test_the_order_of_raters_is_no_matter(name, seed):
    log_probs, target = random_case(seed)
    order = [2, 0, 1]
    other = Target(target.labels[:, order], target.rated[:, order], target.share[:, order])
    assert_same(*(value_and_gradient(LOSSES[name](), log_probs, t) for t in (target, other)))


@settings(max_examples=20)
@given(names, seeds)
def test_an_absent_rater_is_a_dropped_one(name, seed):
    log_probs, target = random_case(seed)
    rated = target.rated.clone()
    rated[:, 1] = False
    absent = target_of(target.labels, rated)
    dropped = target_of(target.labels[:, [0, 2]], rated[:, [0, 2]])
    assert_same(*(value_and_gradient(LOSSES[name](), log_probs, t) for t in (absent, dropped)))


@settings(max_examples=20)
@given(names, seeds)
def test_a_voxel_that_is_unknown_to_all_has_no_gradient(name, seed):
    log_probs, target = random_case(seed)
    labels = target.labels.clone()
    labels[..., 0, 0] = 4
    gradient = value_and_gradient(LOSSES[name](), log_probs, target_of(labels, target.rated))[1]
    assert gradient[..., 0, 0].abs().max() <= 1e-7
    assert gradient.abs().max() > 1e-4


@settings(max_examples=20)
@given(names, seeds)
def test_only_the_mass_of_a_group_counts_where_nothing_else_is_drawn(name, seed):
    log_probs, _ = random_case(seed)
    group = target_of(torch.full((2, 3, 4, 5), 3))
    swapped = log_probs[:, [0, 2, 1]]  # the same mass in the group, spread otherwise
    loss = LOSSES[name]()
    value = loss(log_probs, group, ADMISSIBLE)["loss"]
    torch.testing.assert_close(loss(swapped, group, ADMISSIBLE)["loss"], value, atol=1e-6, rtol=1e-5)
    more = torch.stack([log_probs[:, 0] - 1, log_probs[:, 1], log_probs[:, 2]], dim=1).log_softmax(1)
    assert loss(more, group, ADMISSIBLE)["loss"] < value


@settings(max_examples=20)
@given(names, seeds)
def test_following_the_gradient_helps(name, seed):
    log_probs, target = random_case(seed)
    loss = LOSSES[name]()
    value, gradient = value_and_gradient(loss, log_probs, target)
    step = 1e-2 / gradient.abs().max()
    assert loss((log_probs - step * gradient).log_softmax(1), target, ADMISSIBLE)["loss"] < value


def test_nobody_rated_anything(loss):
    log_probs, target = random_case(0)
    nobody = target_of(target.labels, torch.zeros_like(target.rated))
    value, gradient = value_and_gradient(loss, log_probs, nobody)
    assert value == 0 and gradient.abs().max() == 0


def test_every_term_is_a_finite_scalar_even_for_a_certain_network(loss):
    _, target = random_case(1)
    for sign in (1, -1):  # certain and right, certain and wrong
        leaf = torch.where(target.labels < 3, target.labels, 0)
        logits = (sign * 60 * torch.nn.functional.one_hot(leaf[:, 0], 3)).movedim(-1, 1).float().requires_grad_()
        terms = loss(logits.log_softmax(1), target_of(leaf[:, :1]), ADMISSIBLE)
        terms["loss"].backward()
        assert all(v.ndim == 0 and v.isfinite() for v in terms.values())
        assert logits.grad.isfinite().all()
        if sign == 1:
            assert terms["loss"].item() == pytest.approx(0, abs=1e-5)


def test_weights_of_labels_are_those_of_all_masks_together():
    _, target = random_case(3)
    weights = label_weight(target, 5)
    each = mask_weight(target)
    for label in range(5):
        expected = torch.where(target.labels == label, each, 0.0).sum(dim=1)
        torch.testing.assert_close(weights[:, label], expected)
