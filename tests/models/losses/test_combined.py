"""Several losses at once."""

from __future__ import annotations

import math

import pytest

from probseg.errors import ProbsegError
from probseg.models.losses import CombinedLoss, CrossEntropyLoss, DiceLoss, FocalLoss, SoftLabelLoss

from .conftest import ADMISSIBLE, random_case


def test_a_weighted_sum_whose_parts_are_logged():
    case = (*random_case(0), ADMISSIBLE)
    parts = {"cross_entropy": CrossEntropyLoss(), "dice": DiceLoss(), "soft_label": SoftLabelLoss()}
    alone = {name: loss(*case)["loss"].item() for name, loss in parts.items()}
    terms = CombinedLoss(list(parts.values()), [1.0, 0.5, 2.0])(*case)
    assert {n: v.item() for n, v in terms.items() if n != "loss"} == pytest.approx(alone)
    expected = alone["cross_entropy"] + 0.5 * alone["dice"] + 2 * alone["soft_label"]
    assert terms["loss"].item() == pytest.approx(expected)
    assert CombinedLoss()(*case)["loss"].item() == pytest.approx(alone["cross_entropy"] + alone["dice"])


@pytest.mark.parametrize(
    ("losses", "weights", "message"),
    [
        ([DiceLoss()], None, "two or more losses of different classes, not .DiceLoss."),
        ([DiceLoss(), DiceLoss(0.5)], None, "not .DiceLoss, DiceLoss."),
        (None, [1.0], "must be 2 numbers above 0, one a loss, but are .1.0."),
        (None, [1.0, 0.0], "must be 2 numbers above 0"),
        (None, [1.0, math.inf], "must be 2 numbers above 0"),
    ],
)
def test_wrong_settings(losses, weights, message):
    with pytest.raises(ProbsegError, match=f"E_SCHEMA.*{message}"):
        CombinedLoss(losses, weights)


def test_each_part_must_fit_the_label_set():
    loss = CombinedLoss([FocalLoss(class_weights=[1.0, 2.0]), DiceLoss()])
    loss.check(2)
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH: class_weights of FocalLoss are 2"):
        loss.check(3)
