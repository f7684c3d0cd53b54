"""Soft Dice, with groups that have a Dice of their own."""

from __future__ import annotations

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.models.losses import DiceLoss

from .conftest import ADMISSIBLE, log_probs_of, random_case, target_of

PROBS = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2]]


def test_hand_worked():
    target = target_of([[[[0, 1, 1]]]])
    one = (2 * 0.9 + 1) / (1.1 + 2 + 1)  # class 1: mass 0.2 + 0.6 + 0.3, of which 0.9 where it is drawn
    two = 1 / (0.6 + 0 + 1)  # class 2 is not drawn
    got = DiceLoss()(log_probs_of(PROBS), target, ADMISSIBLE)["loss"].item()
    assert got == pytest.approx(1 - (one + two) / 2)
    none = (2 * 0.7 + 1) / (1.3 + 1 + 1)  # background
    got = DiceLoss(class_weights=[2.0, 1.0, 0.0])(log_probs_of(PROBS), target, ADMISSIBLE)["loss"].item()
    assert got == pytest.approx(1 - (2 * none + one) / 3)


def test_hand_worked_with_a_group_and_unknown():
    target = target_of([[[[1, 3, 4]]]])
    one = (2 * 0.2 + 1) / (0.2 + 1 + 1)  # only the first voxel is decided: class 1
    two = 1 / (0.1 + 0 + 1)
    group = (2 * (0.3 + 0.9) + 1) / (0.3 + 0.9 + 2 + 1)  # both of the first two are inside the group
    got = DiceLoss()(log_probs_of(PROBS), target, ADMISSIBLE)["loss"].item()
    assert got == pytest.approx(1 - (one + two + group) / 3)


def test_each_rater_has_a_dice_of_his_own_and_each_image_counts_alike():
    log_probs, target = random_case(3)
    each = [
        DiceLoss()(log_probs[b : b + 1], target_of(target.labels[b, m][None, None], target.rated[b, m][None, None]),
                   ADMISSIBLE)["loss"].item()
        for b in range(2)
        for m in range(3)
    ]  # fmt: skip
    assert DiceLoss()(log_probs, target, ADMISSIBLE)["loss"].item() == pytest.approx(sum(each) / 6)


def test_a_class_that_nobody_drew_is_driven_out():
    logits = torch.zeros(1, 3, 1, 4, requires_grad=True)
    empty = target_of(torch.zeros(1, 1, 1, 4, dtype=torch.long))
    loss = DiceLoss()(logits.log_softmax(1), empty, ADMISSIBLE)["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(1 - 1 / (4 / 3 + 1))
    assert (logits.grad[:, 1:] > 0.01).all()


@pytest.mark.oracle
@pytest.mark.parametrize("background", [True, False])
def test_equal_to_monais(background):
    losses = pytest.importorskip("monai.losses")
    log_probs, target = random_case(0, labels=3, masks=1)
    everywhere = target_of(target.labels)
    own = DiceLoss(0.3, [1.0, 1.0, 1.0] if background else None)(log_probs, everywhere, ADMISSIBLE)["loss"]
    monais = losses.DiceLoss(background, to_onehot_y=True, softmax=True, smooth_nr=0.3, smooth_dr=0.3)
    torch.testing.assert_close(own, monais(log_probs, everywhere.labels))


def test_without_smoothing_it_is_refused():
    with pytest.raises(ProbsegError, match="smooth of DiceLoss must be above 0, but is 0"):
        DiceLoss(0.0)
