"""One network, one answer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from probseg.batch import Example, collate
from probseg.distribution import Draws
from probseg.labels import LabelSet
from probseg.models import Deterministic
from probseg.records import DatasetInfo


class Constant(nn.Module):
    """Any network will do: this one says 0.8 background everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.8, 0.2]).log())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.logits.reshape(1, 2, 1, 1).expand(len(image), 2, *image.shape[2:])


def test_hand_worked_loss_and_maps():
    model = Deterministic(Constant())
    model.bind(DatasetInfo("toy", 2, LabelSet.binary("x"), (0, 1)))
    masks = torch.tensor([[[0, 1]], [[0, 0]]], dtype=torch.uint8)
    rated = torch.tensor([[[True, True]], [[True, False]]])
    batch = collate([Example(torch.zeros(1, 1, 2), masks, rated, 0, 0, "a", "", torch.ones(2))])
    # three rated (voxel, rater): background, foreground, background
    assert model.loss(batch)["loss"].item() == pytest.approx(-(2 * math.log(0.8) + math.log(0.2)) / 3)
    distribution = model(batch.image, Draws(7))
    assert distribution.num_draws == 1
    assert distribution.epistemic.abs().max() == distribution.ambiguity.abs().max() == 0
    assert distribution.noise[0, 0, 0].item() == pytest.approx(-0.8 * math.log(0.8) - 0.2 * math.log(0.2))
