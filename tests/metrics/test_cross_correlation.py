"""NCC through the metric equals its NumPy twin, with any number of draws on either axis."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.cross_correlation import normalized_cross_correlation
from probseg.distribution import SegmentationDistribution
from probseg.metrics import CrossCorrelation


def ncc(logits: torch.Tensor, masks: torch.Tensor, rated: torch.Tensor | None = None) -> float:
    metric = CrossCorrelation(logits.shape[3])
    looked = torch.ones_like(masks, dtype=torch.bool) if rated is None else rated
    metric.update(SegmentationDistribution(logits), masks, looked)
    return metric.compute()["ncc"].item()


@settings(max_examples=30)
@given(
    st.integers(0, 1000),
    st.sampled_from([(1, 1), (2, 3), (1, 40), (5, 1)]),
    st.sampled_from([(3, 5), (2, 3, 4)]),
    st.booleans(),
)
def test_equal_to_numpy(seed, draws, space, partly):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(*draws, 1, 3, *space, generator=generator)
    masks = torch.randint(0, 4, (1, 3, *space), generator=generator).to(torch.uint8)  # 3 is a group
    rated = torch.rand(1, 3, *space, generator=generator) < (0.7 if partly else 2)
    probabilities = SegmentationDistribution(logits).probs[:, :, 0].flatten(0, 1).numpy()
    expected = normalized_cross_correlation(probabilities, masks[0].numpy(), rated[0].numpy())
    assert ncc(logits, masks, rated) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_certain_readings_by_hand():
    # Readings 11 and 10 of two pixels, rater 11: cross entropy high at the second pixel in both maps
    logits = torch.full((1, 2, 1, 2, 1, 2), -60.0)
    logits[0, 0, 0, 1] = 60.0
    logits[0, 1, 0, 1] = torch.tensor([60.0, -60.0])
    logits[:, :, :, 0] = -logits[:, :, :, 1]
    masks = torch.tensor([[[[1, 1]]]])
    assert ncc(logits, masks) == pytest.approx(1.0)
    # rater 01: surely wrong at the first pixel, half wrong at the second
    assert ncc(logits, torch.tensor([[[[0, 1]]]])) == pytest.approx(-1.0)
    assert math.isnan(ncc(logits[:, :1], masks))  # one mask, of which it is sure


def test_a_case_without_a_figure_is_left_out_of_the_mean():
    logits = torch.randn(1, 3, 2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    masks = (torch.rand(2, 2, 4, 4, generator=torch.Generator().manual_seed(1)) < 0.5).to(torch.uint8)
    rated = torch.ones_like(masks, dtype=torch.bool)
    alone = ncc(logits[:, :, :1], masks[:1])
    rated[1] = False
    assert ncc(logits, masks, rated) == alone
