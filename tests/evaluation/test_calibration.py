"""The curves and scores of an evaluation, and that they are those of ``probseg test``."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from probseg.analysis.calibration import calibration_error
from probseg.distribution import SegmentationDistribution
from probseg.evaluation import EvaluatedCase, evaluate_case, gather
from probseg.evaluation.calibration import RaterCalibration
from probseg.evaluation.group import FigureName
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS, PredictedDistribution
from probseg.labels import LabelClass, LabelSet
from probseg.metrics import Evaluation
from probseg.records import DatasetInfo

CLASSES = LabelSet(tuple(LabelClass(k, name) for k, name in enumerate(("background", "glass", "solid"))))
INFO = DatasetInfo("three classes", 2, CLASSES, (0.0, 1.0))


@pytest.fixture(scope="module")
def both():
    """Six cases as a batch for the metrics of ``probseg test`` and as cases with predictions."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.nn.functional.interpolate(torch.randn(8 * 6, 3, 4, 4, generator=generator), scale_factor=6)
    logits = 2 * logits.reshape(1, 8, 6, 3, 24, 24)
    distribution = SegmentationDistribution(logits)
    blocks = torch.randint(0, 3, (6, 4, 6, 6), generator=generator)
    masks = blocks.repeat_interleave(4, 2).repeat_interleave(4, 3).to(torch.uint8)
    rated = torch.ones_like(masks, dtype=torch.bool)
    rated[2, 3] = False
    rated[3, 0, :10] = False
    cases = []
    for k in range(6):
        prediction = PredictedDistribution(
            distribution.mean[k].numpy(),
            distribution.mode[k].numpy().astype(np.uint8),
            distribution.readings()[:, k].numpy(),
            dict.fromkeys(UNCERTAINTY_MAPS, np.zeros((24, 24), np.float32)),
            8,
            np.full((8, 2), np.nan),
        )
        present = rated[k].flatten(1).any(dim=1).numpy()
        names = tuple(f"r{r}" for r in np.flatnonzero(present))
        drawn, looked = masks[k].numpy()[present], rated[k].numpy()[present]
        cases.append(EvaluatedCase(f"c{k}", f"c{k}", "", CLASSES, names, drawn, looked, None, float("nan"), prediction))
    return SimpleNamespace(distribution=distribution, masks=masks, rated=rated, cases=cases)


def test_files_give_the_figures_that_the_metrics_give(both):
    evaluation = Evaluation(3, torch.from_numpy(CLASSES.admissible))
    for metric in evaluation.metrics:
        metric.update(both.distribution, both.masks, both.rated)
    expected = {name: float(v) for name, v in evaluation.compute().items()}
    report = gather(INFO, "made", map(evaluate_case, both.cases))
    for name in (
        "ged_v",
        "ged_u",
        "ged_floor",
        "hm_iou",
        "diversity",
        "dice",
        "iou",
        "soft_dice",
        "ece",
        "brier",
        "nll",
    ):
        assert report.figure(name).value == pytest.approx(expected[name], abs=1e-6), name


def test_sums_give_what_the_function_gives(both):
    group, case = RaterCalibration(CLASSES), both.cases[0]
    sums = group.statistics(case)
    found = group.figures[FigureName("ece")].per_case(sums[None])[0]
    assert found == pytest.approx(calibration_error(case.prediction.mean, case.masks, rated=case.rated), abs=1e-9)
    curves = group.reliability(sums)
    inside = int((case.rated & case.region).sum())
    assert curves.region[:, 2].sum() == inside
    assert curves.classes[..., 2].sum(axis=1) == pytest.approx([inside] * 3)  # each class is asked at each trial
    assert curves.classes[..., 1].sum() == pytest.approx(inside)  # and one of them is said
    assert curves.image[:, 2].sum() == case.rated.sum()


def test_curves_of_each_rater_need_stable_identities(both):
    named = gather(INFO, "made", map(evaluate_case, both.cases)).tables()["reliability"]
    place = named.columns.index("rater")
    assert {row[place] for row in named.rows} == {"", "r0", "r1", "r2", "r3"}
    unnamed = gather(INFO, "made", [evaluate_case(c, stable_raters=False) for c in both.cases]).tables()["reliability"]
    assert {row[place] for row in unnamed.rows} == {""}
    counts = named.columns.index("count")
    alone = [row for row in named.rows if row[place]]
    whole = [row for row in named.rows if row[1] == "region" and not row[place] and not row[4]]
    assert sum(row[counts] for row in alone) == sum(row[counts] for row in whole)
