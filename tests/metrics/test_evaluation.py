"""All figures together: their names, the hand-worked values, and the table of the reliability curve."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from probseg.batch import Example, collate
from probseg.distribution import SegmentationDistribution
from probseg.metrics import Evaluation

NAMES = (
    *("ged_v", "ged_u", "ged_floor", "hm_iou", "d_max", "d_match", "diversity", "rater_diversity"),
    *("dice", "iou", "soft_dice", "log_likelihood", "nll_image", "ncc", "ece", "mce", "brier", "nll"),
    *("ece_image", "mce_image", "brier_image", "ace", "ace_image", "aurc", "excess_aurc"),
)


@pytest.fixture
def evaluation() -> Evaluation:
    masks = torch.tensor([[[1, 1, 0, 0]], [[1, 1, 1, 0]]], dtype=torch.uint8)
    example = Example(
        torch.zeros(1, 1, 4), masks, torch.ones(2, 1, 4, dtype=torch.bool), 4, 2, "a", "s", torch.full((2,), torch.nan)
    )
    logits = torch.zeros(1, 2, 1, 2, 1, 4)
    logits[0, 0, 0, 1] = torch.tensor([5.0, 5.0, -5.0, -5.0])
    logits[0, 1, 0, 1] = -5.0
    out = Evaluation(2, torch.eye(2, dtype=torch.bool))
    out.update(SegmentationDistribution(logits), collate([example]))
    return out


def test_figures(evaluation):
    figures = {name: value.item() for name, value in evaluation.compute().items()}
    assert tuple(figures) == NAMES
    assert figures["ged_v"] == pytest.approx(1 / 2)
    assert figures["ged_u"] == pytest.approx(-1 / 6)
    assert figures["ged_floor"] == pytest.approx(1 / 3)
    assert figures["hm_iou"] == pytest.approx(1 / 2)
    assert (figures["d_max"], figures["d_match"]) == pytest.approx((9 / 10, 1 / 2))
    assert tuple(evaluation.per_case()) == NAMES == tuple(evaluation.intervals(10))
    assert evaluation.index().tolist() == [4]
    assert {name: v[0] for name, v in evaluation.per_case().items()} == pytest.approx(figures)


def test_reliability_table(evaluation, tmp_path: Path):
    evaluation.write_reliability(tmp_path / "r.csv", "mine")
    with (tmp_path / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert sum(int(r["count"]) for r in rows) == 8
    # columns 0 and 1: mean 0.5 of foreground; columns 2 and 3: 0.993 of background, 3 of 4 raters agree
    filled = {int(r["bin"]): r for r in rows if r["count"] != "0"}
    assert set(filled) == {7, 14}
    assert float(filled[14]["frequency"]) == 0.75
    assert all(r["confidence"] == r["frequency"] == "" for r in rows if r["count"] == "0")
    assert (rows[0]["low"], rows[14]["high"], rows[3]["family"]) == ("0", "1", "mine")
