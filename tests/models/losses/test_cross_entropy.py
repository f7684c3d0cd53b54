"""Cross entropy, weighted and not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from probseg.errors import ProbsegError
from probseg.models.losses import CrossEntropyLoss

from .conftest import ADMISSIBLE, WEIGHTS, log_probs_of, random_case, target_of

PROBS = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2]]


def test_hand_worked():
    log_probs = log_probs_of(PROBS)
    target = target_of([[[[0, 3, 4]], [[1, 1, 2]]]], [[[[True, True, True]], [[True, False, True]]]])
    # each rater has half; rated are: 0, group {1, 2}, unknown and 1, 2
    expected = -(math.log(0.7) + math.log(0.9) + 0 + math.log(0.2) + math.log(0.2)) / 5
    assert CrossEntropyLoss()(log_probs, target, ADMISSIBLE)["loss"].item() == pytest.approx(expected)
    # weights 1/2, 2, 1; the group weighs 3/2 and unknown 7/6
    total = 0.5 + 1.5 + 7 / 6 + 2 + 1
    weighted = -(0.5 * math.log(0.7) + 1.5 * math.log(0.9) + 2 * math.log(0.2) + math.log(0.2)) / total
    assert CrossEntropyLoss(WEIGHTS)(log_probs, target, ADMISSIBLE)["loss"].item() == pytest.approx(weighted)


@pytest.mark.oracle
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_equal_to_torchs(weights):
    log_probs, target = random_case(0, labels=3, masks=1)
    labels = torch.where(target.rated, target.labels, -100)[:, 0]
    own = CrossEntropyLoss(weights)(log_probs, target, ADMISSIBLE)["loss"]
    torchs = nn.CrossEntropyLoss(weights if weights is None else torch.tensor(weights))(log_probs, labels)
    torch.testing.assert_close(own, torchs)


@pytest.mark.parametrize("wrong", [[-1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, math.inf, 1.0], [1.0, math.nan, 1.0], []])
def test_weights_are_judged_when_they_are_given(wrong):
    with pytest.raises(ProbsegError, match="E_SCHEMA: class_weights of CrossEntropyLoss must be at least 0"):
        CrossEntropyLoss(wrong)


def test_every_class_has_a_weight():
    CrossEntropyLoss(WEIGHTS).check(3)
    CrossEntropyLoss().check(7)
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH: class_weights of CrossEntropyLoss are 3, but the label"):
        CrossEntropyLoss(WEIGHTS).check(2)
