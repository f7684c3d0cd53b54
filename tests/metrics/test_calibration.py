"""ECE, Brier and NLL in the union region, against hand-worked values and the NumPy definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.calibration import brier_score, calibration_error, calibration_sums, negative_log_likelihood
from probseg.distribution import SegmentationDistribution
from probseg.metrics import CalibrationScores


def figures(logits, masks, rated=None, spacing=None) -> dict[str, float]:
    metric = CalibrationScores(logits.shape[3])
    rated = torch.ones_like(masks, dtype=torch.bool) if rated is None else rated
    metric.update(SegmentationDistribution(logits), masks, rated, spacing_mm=spacing)
    return {k: v.item() for k, v in metric.compute().items()}


def constant(probs: list[float], space: tuple[int, ...]) -> torch.Tensor:
    p = torch.tensor(probs).log().reshape(1, 1, 1, -1, *(1,) * len(space))
    return p.expand(1, 1, 1, len(probs), *space)


def test_hand_worked():
    # 4 raters, one voxel, probability 0.7 of foreground; 3 of 4 say foreground
    masks = torch.tensor([1, 1, 1, 0]).reshape(1, 4, 1, 1)
    got = figures(constant([0.3, 0.7], (1, 1)), masks)
    assert got["ece"] == pytest.approx(0.05, abs=1e-6)
    assert got["brier"] == pytest.approx((3 * 2 * 0.3**2 + 2 * 0.7**2) / 4)
    assert got["nll"] == pytest.approx(-(3 * math.log(0.7) + math.log(0.3)) / 4)
    assert got["mce"] == pytest.approx(0.05, abs=1e-6)  # a single bin


def test_only_the_region_counts():
    masks = torch.zeros(1, 1, 1, 21, dtype=torch.long)
    masks[..., 0] = 1
    got = figures(constant([0.9, 0.1], (1, 21)), masks)  # the mode is background: the region is columns 0 to 5
    assert got["nll"] == pytest.approx(-(5 * math.log(0.9) + math.log(0.1)) / 6, rel=1e-5)
    fine = figures(constant([0.9, 0.1], (1, 21)), masks, spacing=torch.tensor([[2.5, 2.5]]))  # 5 mm are 2 columns
    assert fine["nll"] == pytest.approx(-(2 * math.log(0.9) + math.log(0.1)) / 3, rel=1e-5)
    unknown = figures(constant([0.9, 0.1], (1, 21)), masks, spacing=torch.tensor([[math.nan, math.nan]]))
    assert unknown == got
    nothing = figures(constant([0.9, 0.1], (1, 21)), torch.zeros_like(masks))
    assert all(math.isnan(nothing[name]) for name in ("ece", "mce", "brier", "nll"))
    # of the whole image there is something to say: 21 times 0.9 for background
    assert nothing["ece_image"] == pytest.approx(0.1, abs=1e-6)
    assert nothing["brier_image"] == pytest.approx(2 * 0.1**2)
    assert got["brier_image"] == pytest.approx((20 * 2 * 0.1**2 + 2 * 0.9**2) / 21)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(2, 4), st.sampled_from([(6, 7), (3, 4, 5)]))
def test_ece_equals_the_numpy_definition(seed, classes, space):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, 2, 1, classes, *space, generator=generator)
    masks = torch.randint(0, classes + 1, (1, 3, *space), generator=generator)
    rated = torch.rand(1, 3, *space, generator=generator) < 0.7
    spacing = torch.full((1, len(space)), 2.0)
    mean = SegmentationDistribution(logits).mean[0].numpy()
    oracle = calibration_error(mean, masks[0].numpy(), rated=rated[0].numpy(), spacing_mm=tuple(spacing[0].tolist()))
    got = figures(logits, masks, rated, spacing)
    assert got["ece"] == pytest.approx(oracle, abs=1e-9)
    case = (mean, masks[0].numpy())
    looked, near = rated[0].numpy(), {"rated": rated[0].numpy(), "spacing_mm": tuple(spacing[0].tolist())}
    assert got["brier"] == pytest.approx(brier_score(*case, **near), abs=1e-9)
    assert got["nll"] == pytest.approx(negative_log_likelihood(*case, **near), abs=1e-9)
    everywhere = calibration_sums(*case, looked).figures()
    for name in ("ece", "mce", "brier"):
        assert got[f"{name}_image"] == pytest.approx(everywhere[name], abs=1e-9)
    order = torch.randperm(3, generator=generator)
    assert figures(logits, masks[:, order], rated[:, order], spacing) == pytest.approx(got, abs=1e-9)


def test_the_curve_sums_over_cases_and_is_empty_before_any():
    metric = CalibrationScores(2)
    assert metric.reliability().tolist() == np.zeros((15, 3)).tolist()
    masks = torch.tensor([[1, 0], [1, 1]]).reshape(2, 2, 1, 1)
    logits = constant([0.3, 0.7], (1, 1)).expand(1, 1, 2, 2, 1, 1)
    metric.update(SegmentationDistribution(logits), masks, torch.ones_like(masks, dtype=torch.bool))
    bins = metric.reliability()
    assert bins[10] == pytest.approx([4 * 0.7, 3, 4])
    assert np.delete(bins, 10, axis=0).sum() == 0
    # the figure is of all trials together: |0.7 - 3/4|, not the mean of |0.7 - 1/2| and |0.7 - 1|
    assert metric.compute()["ece"].item() == pytest.approx(0.05, abs=1e-6)


def test_a_perfectly_calibrated_model_has_no_error():
    rng = np.random.default_rng(0)
    p = torch.tensor(rng.uniform(0.05, 0.95, (60, 60)), dtype=torch.float32)
    masks = torch.tensor(rng.uniform(size=(1, 30, 60, 60)) < p.numpy()).long()
    logits = torch.stack([1 - p, p]).log().reshape(1, 1, 1, 2, 60, 60)
    assert figures(logits, masks)["ece"] < 0.01


def test_a_group_counts_in_nll_by_the_classes_that_it_admits():
    admissible = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)
    metric = CalibrationScores(3, admissible=admissible)
    masks = torch.tensor([3, 4, 1]).reshape(1, 3, 1, 1)  # the group of both foreground classes, unknown, a class
    metric.update(SegmentationDistribution(constant([0.2, 0.5, 0.3], (1, 1))), masks, torch.ones_like(masks).bool())
    assert metric.compute()["nll"].item() == pytest.approx(-(math.log(0.8) + math.log(0.5)) / 2)
    assert metric.compute()["brier"].item() == pytest.approx(0.04 + 0.25 + 0.09)
