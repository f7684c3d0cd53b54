from __future__ import annotations

import math

import pytest
import torch

from probseg.analysis.region import union_region
from probseg.analysis.risk_coverage import risk_coverage
from probseg.distribution import SegmentationDistribution
from probseg.metrics import RiskCoverageScores


def batch(seed: int) -> tuple[SegmentationDistribution, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.avg_pool2d(torch.randn(4, 3, 30, 30, generator=generator), 7, 1, 3) * 20
    masks = (smooth[:, None] + torch.randn(4, 2, 3, 30, 30, generator=generator)).argmax(dim=2).to(torch.uint8)
    rated = torch.rand(4, 2, 30, 30, generator=generator) < 0.8
    return SegmentationDistribution(smooth[None, None]), masks, rated


def test_close_to_the_area_of_all_voxels_at_once():
    distribution, masks, rated = batch(0)
    metric = RiskCoverageScores(3)
    metric.update(distribution, masks, rated)
    uncertainty, wrong = [], []
    for k in range(4):
        region = union_region(masks[k].numpy(), distribution.mode[k].numpy(), 3, rated[k].numpy())
        for mask, looked in zip(masks[k], rated[k], strict=True):
            counted = looked.numpy() & region
            uncertainty += distribution.entropy[k].numpy()[counted].tolist()
            wrong += (mask != distribution.mode[k]).numpy()[counted].tolist()
    oracle = risk_coverage(uncertainty, wrong)
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found == pytest.approx({"aurc": oracle.aurc, "excess_aurc": oracle.excess}, abs=1e-3)
    assert 0 < found["excess_aurc"] < found["aurc"]
    assert len(metric.per_case()["aurc"]) == 4


def test_nothing_rated_is_undefined():
    distribution, masks, rated = batch(1)
    metric = RiskCoverageScores(3)
    metric.update(distribution, masks, rated & False)
    assert math.isnan(metric.compute()["aurc"].item())
