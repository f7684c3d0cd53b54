"""Calibration by class, by rater and by site, beside that of all."""

from __future__ import annotations

import math

import pytest
import torch

from probseg.batch import Example, collate
from probseg.distribution import SegmentationDistribution
from probseg.metrics import CalibrationScores, FullCalibration


def example(k: int, labels: list[int], rater: tuple[int, ...]) -> Example:
    """One voxel; who draws it so."""
    masks = torch.tensor(labels, dtype=torch.uint8).reshape(-1, 1, 1)
    looked, spacing = torch.ones_like(masks, dtype=torch.bool), torch.full((2,), math.nan)
    return Example(torch.zeros(1, 1, 1), masks, looked, k, k, str(k), "", spacing, rater)


def measured() -> FullCalibration:
    """0.7 of foreground: anna draws it twice, ben once of two, a stranger never."""
    logits = torch.tensor([0.3, 0.7]).log().reshape(1, 1, 1, 2, 1, 1).expand(1, 1, 2, 2, 1, 1)
    metric = FullCalibration(("background", "nodule"), torch.eye(2, dtype=torch.bool), ("anna", "ben", "carl"))
    batch = collate([example(0, [1, 1, 0], (0, 1, -1)), example(1, [0, 1], (1, 0))])
    metric.update(SegmentationDistribution(logits), batch)
    return metric


def test_each_rater_alone_and_nobody_else():
    rows = {(r.rater, r.metric): r.interval for r in measured().rows(samples=10) if r.rater}
    assert {name for name, _ in rows} == {"anna", "ben"}
    assert rows["anna", "ece"].value == pytest.approx(0.3, abs=1e-6)
    assert rows["ben", "ece"].value == pytest.approx(0.2, abs=1e-6)
    assert rows["ben", "nll"].value == pytest.approx(-(math.log(0.7) + math.log(0.3)) / 2)
    assert (rows["anna", "brier"].value, rows["anna", "brier"].n) == (pytest.approx(2 * 0.09), 2)


def test_of_all_by_class_and_by_site():
    rows = list(measured().rows({0: "here", 1: "there"}, samples=10))
    overall = {r.metric: r.interval.value for r in rows if not (r.class_name or r.rater or r.site)}
    assert overall["ece"] == pytest.approx(abs(0.7 - 3 / 5), abs=1e-6)
    assert set(overall) == {*CalibrationScores(2).figures, "ace", "ace_image"}
    assert {r.class_name for r in rows if r.class_name} == {"background", "nodule"}
    sites = {r.site: r.interval.value for r in rows if r.site and r.metric == "ece"}
    assert sites == pytest.approx({"here": 0.7 - 2 / 3, "there": 0.2}, abs=1e-6)
    assert not [r for r in measured().rows({0: "one", 1: "one"}, samples=10) if r.site]


def test_raters_without_names_are_nobody():
    metric = FullCalibration(("background", "nodule"), torch.eye(2, dtype=torch.bool))
    assert metric.raters is None
    assert len(metric.metrics) == 2
