"""ACE over cases against the NumPy definition, and each class by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.calibration import classwise_calibration_error, classwise_gaps
from probseg.analysis.entropy import votes
from probseg.analysis.region import union_region
from probseg.distribution import SegmentationDistribution
from probseg.metrics import ClasswiseCalibration


def updated(p: np.ndarray, masks: np.ndarray) -> ClasswiseCalibration:
    """``(batch, classes, *space)`` probabilities and ``(batch, raters, *space)`` masks, all rated."""
    metric, labels = ClasswiseCalibration(p.shape[1]), torch.from_numpy(masks)
    logits = torch.from_numpy(p).clamp(min=1e-30).log()[None, None]
    metric.update(SegmentationDistribution(logits), labels, torch.ones_like(labels, dtype=torch.bool))
    return metric


@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(2, 4), st.sampled_from([(6, 7), (3, 4, 5)]))
def test_equal_to_numpy_where_no_two_probabilities_share_a_cell(seed, classes, space):
    rng = np.random.default_rng(seed)
    # of 13 parts, for of 12 in four classes 3.4 / 13.6 would be a quarter, which is the border of a cell
    parts = rng.multinomial(13, rng.dirichlet(np.ones(classes)), size=(2, *space)) + 0.4
    p = np.moveaxis(parts / (13 + 0.4 * classes), -1, 1)
    masks = rng.integers(0, classes, (2, 3, *space))
    got = updated(p, masks).compute()
    region = np.stack([union_region(y, q.argmax(axis=0), classes) for q, y in zip(p, masks, strict=True)], axis=0)
    together = np.moveaxis(p, 1, 0), np.moveaxis(masks, 1, 0)
    assert got["ace"].item() == pytest.approx(classwise_calibration_error(*together, region), abs=1e-6)
    everywhere = np.ones_like(region)
    assert got["ace_image"].item() == pytest.approx(classwise_calibration_error(*together, everywhere), abs=1e-6)


def test_256_cells_are_close_to_exact_on_an_image():
    rng = np.random.default_rng(0)
    logit = rng.normal(-2, 3, (1, 128, 128))
    p = 1 / (1 + np.exp(-logit))
    masks = (rng.uniform(size=(1, 4, 128, 128)) < 1 / (1 + np.exp(-1.5 * logit[:, None]))).astype(np.int64)
    got = updated(np.stack([1 - p, p], axis=1), masks).compute()["ace_image"].item()
    hits = votes(masks[0].reshape(4, -1), 2)
    exact = classwise_gaps(np.stack([1 - p[0], p[0]]).reshape(2, -1), hits, hits.sum(axis=0)).mean()
    assert got == pytest.approx(exact, abs=1e-3)
    assert exact > 0.02


def test_each_class_by_itself():
    p = np.array([0.3, 0.7]).reshape(1, 2, 1, 1)
    figures = updated(p, np.array([1, 1, 1, 0]).reshape(1, 4, 1, 1)).of_classes(10)
    assert [f["ace"].value for f in figures] == pytest.approx([0.05, 0.05], abs=1e-6)
    # class 1: three raters are met with 0.7, one with 0.3; class 0 is the rest
    assert [f["brier"].value for f in figures] == pytest.approx([(3 * 0.09 + 0.49) / 4] * 2, abs=1e-6)
    assert figures[0]["ace"].n == 1


def test_nothing_in_the_region_is_undefined():
    p = np.array([0.9, 0.1]).reshape(1, 2, 1, 1)
    got = updated(p, np.zeros((1, 2, 1, 1), np.int64)).compute()
    assert math.isnan(got["ace"].item())
    assert got["ace_image"].item() == pytest.approx(0.1)
