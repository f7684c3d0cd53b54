"""The base of the metrics: sums over cases, whatever the batches and processes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.bootstrap import bootstrap_mean
from probseg.distribution import SegmentationDistribution
from probseg.metrics.base import CaseMetric, as_pairs, ratio_of


class MeanLabel(CaseMetric):
    """The mean label of the first rater, NaN where it rated nothing; enough to see what the base does."""

    @property
    def figures(self):
        return {"mean": ratio_of(0)}

    def statistics(self, distribution, masks, rated, spacing_mm):
        first, looked = masks[:, 0].double(), rated[:, 0]
        total = torch.where(looked, first, 0.0).flatten(1).sum(1) / looked.flatten(1).sum(1)
        return as_pairs(total.numpy()[:, None])


def distribution(batch: int) -> SegmentationDistribution:
    return SegmentationDistribution(torch.zeros(1, 1, batch, 2, 1, 2))


def masks_of(*means: float) -> torch.Tensor:
    """One rater, two voxels, labels whose mean is as given."""
    return torch.tensor([[[[0, round(2 * m)]]] for m in means], dtype=torch.uint8)


def everywhere(masks: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(masks, dtype=torch.bool)


def test_repeated_cases_count_once_and_unnamed_cases_count_each():
    metric, masks = MeanLabel(), masks_of(1, 2, 1)
    metric.update(distribution(3), masks, everywhere(masks), torch.tensor([5, 3, 5]), torch.tensor([0, 1, 0]))
    assert metric.compute()["mean"].item() == pytest.approx(1.5)
    assert metric.cases()[0].tolist() == [3, 5]
    unnamed = MeanLabel()
    unnamed.update(distribution(3), masks, everywhere(masks))
    assert unnamed.compute()["mean"].item() == pytest.approx(4 / 3)
    unnamed.update(distribution(1), masks[:1], everywhere(masks[:1]))
    assert unnamed.compute()["mean"].item() == pytest.approx(5 / 4)
    assert len(np.unique(unnamed.cases()[1])) == 4


def test_undefined_cases_are_left_out_and_nothing_at_all_is_nan():
    metric, masks = MeanLabel(), masks_of(1, 2)
    assert len(metric.cases()[0]) == 0
    rated = everywhere(masks)
    rated[1] = False
    with np.errstate(invalid="ignore"):
        metric.update(distribution(2), masks, rated, torch.arange(2), torch.arange(2))
    assert metric.compute()["mean"].item() == 1
    assert metric.per_case()["mean"].tolist()[0] == 1
    assert math.isnan(metric.per_case()["mean"][1])
    interval = metric.intervals(10)["mean"]
    assert (interval.value, interval.n) == (1, 1)
    empty = MeanLabel()
    empty._update_count = 1  # torchmetrics warns of a figure asked for before any update
    assert math.isnan(empty.compute()["mean"].item())
    assert empty.intervals(10)["mean"].n == 0


@settings(max_examples=25)
@given(st.permutations(range(6)), st.integers(1, 6))
def test_the_order_and_the_size_of_batches_change_no_bit(order, size):
    values = torch.rand(6, 1, 1, 2, generator=torch.Generator().manual_seed(1)).mul(200).to(torch.uint8)
    patient = torch.tensor([0, 0, 1, 2, 2, 3])
    whole, parts = MeanLabel(), MeanLabel()
    whole.update(distribution(6), values, everywhere(values), torch.arange(6), patient)
    for start in range(0, 6, size):
        k = torch.tensor(order[start : start + size])
        parts.update(distribution(len(k)), values[k], everywhere(values[k]), k, patient[k])
    assert whole.compute()["mean"] == parts.compute()["mean"]
    assert whole.intervals(50) == parts.intervals(50)


def test_intervals_are_the_patient_bootstrap_of_the_cases():
    masks = masks_of(0, 1, 2, 3, 4)
    patient = torch.tensor([0, 0, 1, 1, 2])
    metric = MeanLabel()
    metric.update(distribution(5), masks, everywhere(masks), torch.arange(5), patient)
    oracle = bootstrap_mean([0, 1, 2, 3, 4], patient.numpy(), samples=200)
    assert metric.intervals(200)["mean"] == oracle


def test_pooled_cases_are_the_mean_of_theirs():
    metric, masks = MeanLabel(), masks_of(1, 3, 5)
    metric.update(distribution(3), masks, everywhere(masks), torch.tensor([20, 21, 30]), torch.tensor([7, 7, 8]))
    metric.pool(lambda index: index // 10)
    index, patient, _ = metric.cases()
    assert index.tolist() == [2, 3]
    assert patient.tolist() == [7, 8]
    assert metric.per_case()["mean"].tolist() == [2, 5]


def test_ratio_and_pairs():
    pairs = as_pairs(np.array([[2.0, math.nan]]))
    assert pairs.tolist() == [[2, 1, 0, 0]]
    assert ratio_of(0)(pairs).tolist() == [2]
    assert math.isnan(ratio_of(2)(pairs)[0])


def test_reset_forgets():
    metric, masks = MeanLabel(), masks_of(1)
    metric.update(distribution(1), masks, everywhere(masks))
    metric.reset()
    assert len(metric.cases()[0]) == 0
