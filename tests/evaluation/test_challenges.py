"""Challenges' tables: which figure is of what, the trunk of a CT, and means over organs, raters and cases."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

import numpy as np
import pytest

from probseg.analysis.challenges import (
    consensus_confidence,
    gaussian_volume_crps,
    level_dice,
    rater_calibration_errors,
)
from probseg.commands import evaluate
from probseg.errors import ProbsegError
from probseg.evaluation.challenges import CHALLENGES, CaseFigures, Curvas, Named, Qubiq, challenge_tables
from probseg.labels import LabelClass, LabelSet
from probseg.records import DatasetInfo

LABELS = LabelSet((LabelClass(0, "background"), LabelClass(1, "pancreas"), LabelClass(2, "liver")))


@pytest.fixture
def abdomen(make_case):
    """Two slices of 4 x 5; nothing of the patient in the last two columns, where the prediction sees a liver."""
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 2, 4, 5), int)
    masks[:, :, 1:3, 1] = 1
    masks[0, 0, 3, 1] = 1
    masks[1, 1, 1, 1] = masks[2, 1, 1, 2] = 2
    case = make_case(masks, np.zeros((1, 2, 4, 5), int), draws_ml=[[0.0, 0.0]])
    logits = rng.normal(size=(3, 2, 4, 5)) * 2
    mean = (np.exp(logits) / np.exp(logits).sum(axis=0)).astype(np.float32)
    mean[:, ..., 3:] = np.array([0.1, 0.1, 0.8], np.float32)[:, None, None, None]
    prediction = replace(case.prediction, mean=mean, mode=mean.argmax(axis=0).astype(np.uint8))
    image = np.full((2, 4, 5), -900)
    image[0, :, 0] = image[1, :, 2] = 40
    return replace(case, labels=LABELS, prediction=prediction, voxel_ml=0.5), image


def test_curvas_of_a_case(abdomen):
    case, image = abdomen
    found = Curvas().figures(case, image)
    cut, mean = case.masks[..., :3], case.prediction.mean[..., :3]
    assert found[Named("confidence", "pancreas")] == pytest.approx(consensus_confidence(mean[1], cut, 1))
    errors = rater_calibration_errors(mean, cut)
    assert [found[Named("ece", "", f"r{k}")] for k in range(3)] == pytest.approx(errors.tolist())
    assert found[Named("ece")] == pytest.approx(errors.mean())
    # raters drew 5, 3 and 4 voxels of pancreas
    volume, at = float(mean[1].sum()) * 0.5, np.array([2.5, 1.5, 2.0])
    assert found[Named("volume_crps_ml", "pancreas")] == pytest.approx(gaussian_volume_crps(volume, at), rel=1e-5)
    # nobody agrees on the liver, so that its confidence is unknown and the mean is that of the pancreas
    assert math.isnan(found[Named("confidence", "liver")])
    assert found[Named("confidence")] == found[Named("confidence", "pancreas")]
    assert next(iter(found)) == Named("consensus_dice")


def test_a_rater_of_part_of_a_volume_has_no_volume(abdomen):
    case, image = abdomen
    rated = np.ones(case.masks.shape, bool)
    rated[0, 0] = False
    found = Curvas().figures(replace(case, rated=rated), image)
    two = Curvas().figures(replace(case, raters=case.raters[1:], masks=case.masks[1:], rated=rated[1:]), image)
    assert found[Named("volume_crps_ml", "pancreas")] == two[Named("volume_crps_ml", "pancreas")]


def test_curvas_needs_a_ct():
    info = DatasetInfo("d", 2, LABELS, (0.0, 1.0))
    with pytest.raises(ProbsegError, match="E_NDIM"):
        Curvas().check(info)
    with pytest.raises(ProbsegError, match="E_NO_IMAGE"):
        Curvas().check(replace(info, dimensions=3, annotations_only=True))
    Qubiq().check(info)


def test_qubiq_of_a_case(make_case):
    masks = np.array([[[1, 1, 0]], [[1, 0, 0]]])
    case = make_case(masks, np.array([[[1, 1, 0]], [[1, 0, 1]]]))
    found = Qubiq().figures(case, np.zeros((1, 3)))
    share = np.array([[1.0, 0.5, 0.5]])
    assert found[Named("level_dice", "nodule")] == level_dice(share, masks)
    assert found[Named("level_dice_above")] == level_dice(share, masks, at_least=False)


def test_means_over_cases():
    cases = [
        CaseFigures("a", "p", "", {Named("x", "liver"): 0.5}),
        CaseFigures("b", "p", "", {Named("x", "liver"): math.nan, Named("y"): 2.0}),
        CaseFigures("c", "q", "", {Named("x", "liver"): 1.0}),
    ]
    tables = challenge_tables(cases)
    (x, y), each = tables["challenge"].rows, tables["challenge_cases"].rows
    assert x[:4] == ("x", "liver", "", 0.75) and x[6] == 2 and x[4] == 0.5 and x[5] == 1.0
    assert y[:4] == ("y", "", "", 2.0) and y[6] == 1 and math.isnan(y[4])
    assert each[0] == ("a", "p", "", "x", "liver", "", 0.5) and len(each) == 4


def test_the_command_knows_every_challenge():
    parser = argparse.ArgumentParser()
    evaluate.configure(parser)
    action = next(a for a in parser._actions if a.dest == "challenge")
    assert list(action.choices) == list(CHALLENGES)
