"""Dice and IoU of the mode, soft Dice of the mean."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.softdice import soft_dice
from probseg.distribution import SegmentationDistribution
from probseg.metrics import OverlapScores


def figures(logits: torch.Tensor, masks: torch.Tensor, rated: torch.Tensor | None = None) -> dict[str, float]:
    metric = OverlapScores(logits.shape[3])
    metric.update(
        SegmentationDistribution(logits), masks, torch.ones_like(masks, dtype=torch.bool) if rated is None else rated
    )
    return {name: value.item() for name, value in metric.compute().items()}


def foreground(probabilities: list[float]) -> torch.Tensor:
    p = torch.tensor(probabilities)
    return torch.stack([1 - p, p]).log().reshape(1, 1, 1, 2, 1, -1)


def test_hand_worked():
    masks = torch.tensor([[[[1, 1, 0, 0]], [[1, 1, 1, 0]]]], dtype=torch.uint8)
    got = figures(foreground([0.9, 0.4, 0.2, 0.01]), masks)
    # the mode is 1000: Dice 2/3 and 2/4, IoU 1/2 and 1/3
    assert got["dice"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert got["iou"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    # raters' mean 1, 1, 1/2, 0. Thresholds .1: 111 and 111; .2, .3: 11 and 111 (0.2 is not above .2);
    # .4: 1 and 111 (nor is 0.4); .5 to .8: 1 and 11; .9: nothing above .9 in 0.9
    expected = (1 + 2 * 4 / 5 + 2 / 4 + 4 * 2 / 3 + 0) / 9
    assert got["soft_dice"] == pytest.approx(expected, abs=0.06)  # the edges are float32's


def test_empty_masks_and_absent_raters():
    nothing = torch.zeros(1, 2, 1, 4, dtype=torch.uint8)
    sure_of_nothing = foreground([0.01] * 4)
    assert all(math.isnan(v) for v in figures(sure_of_nothing, nothing).values())
    one = nothing.clone()
    one[0, 1, 0, 0] = 1
    assert figures(sure_of_nothing, one)["dice"] == 0  # one pair is both empty and left out, the other is 0
    rated = torch.tensor([True, False]).reshape(1, 2, 1, 1).expand(1, 2, 1, 4)
    assert math.isnan(figures(sure_of_nothing, one, rated)["dice"])


@settings(max_examples=20)
@given(st.permutations(range(3)), st.sampled_from([(4, 4), (2, 3, 3)]))
def test_rater_order_is_irrelevant_and_a_missing_rater_is_a_dropped_one(order, space):
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 2, 1, 3, *space, generator=generator)
    masks = torch.randint(0, 4, (1, 3, *space), generator=generator).to(torch.uint8)  # 3 is a group
    reference = figures(logits, masks)
    assert figures(logits, masks[:, list(order)]) == pytest.approx(reference, abs=1e-12)
    padded = torch.cat([masks, torch.ones_like(masks[:, :1])], dim=1)
    rated = torch.ones_like(padded, dtype=torch.bool)
    rated[:, 3] = False
    assert figures(logits, padded, rated) == pytest.approx(reference, abs=1e-12)
    mean = SegmentationDistribution(logits).mean[0].numpy()
    assert reference["soft_dice"] == pytest.approx(soft_dice(mean, masks[0].numpy()))
