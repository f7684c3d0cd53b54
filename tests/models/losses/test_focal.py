"""Focal loss."""

from __future__ import annotations

import math

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.models.losses import CrossEntropyLoss, FocalLoss

from .conftest import ADMISSIBLE, WEIGHTS, log_probs_of, random_case, target_of


def test_hand_worked():
    log_probs = log_probs_of([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2]])
    target = target_of([[[[1, 3, 0]]]], [[[[True, True, False]]]])
    expected = -(0.8**2 * math.log(0.2) + 0.1**2 * math.log(0.9)) / 2
    assert FocalLoss()(log_probs, target, ADMISSIBLE)["loss"].item() == pytest.approx(expected, rel=1e-5)
    weighted = -(2 * 0.8**2 * math.log(0.2) + 1.5 * 0.1**2 * math.log(0.9)) / 2
    got = FocalLoss(class_weights=WEIGHTS)(log_probs, target, ADMISSIBLE)["loss"].item()
    assert got == pytest.approx(weighted, rel=1e-5)


def test_gamma_zero_is_cross_entropy():
    log_probs, target = random_case(2)
    focal, entropy = (loss(log_probs, target, ADMISSIBLE)["loss"] for loss in (FocalLoss(0.0), CrossEntropyLoss()))
    torch.testing.assert_close(focal, entropy)


@pytest.mark.oracle
def test_equal_to_monais():
    losses = pytest.importorskip("monai.losses")
    log_probs, target = random_case(0, labels=3, masks=1)
    everywhere = target_of(target.labels)
    own = FocalLoss(1.7, WEIGHTS)(log_probs, everywhere, ADMISSIBLE)["loss"]
    monais = losses.FocalLoss(to_onehot_y=True, gamma=1.7, weight=WEIGHTS, use_softmax=True)
    # MONAI averages over the one-hot target, in which two entries of three are 0
    torch.testing.assert_close(own, 3 * monais(log_probs, everywhere.labels))


def test_a_negative_gamma_is_refused():
    for wrong in (-1.0, math.nan):
        with pytest.raises(ProbsegError, match="gamma of FocalLoss must be at least 0"):
            FocalLoss(wrong)
