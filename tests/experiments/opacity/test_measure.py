"""What the study reports beside, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from probseg.case import Case, Geometry
from probseg.io.strict_yaml import read_yaml
from probseg.labels import LabelSet


@pytest.fixture(scope="module")
def labels(folder):
    return LabelSet.from_dict(read_yaml(folder / "groups.yaml"))


@pytest.fixture(scope="module")
def measure(script):
    return script("opacity/measure")


def test_confusion_counts_leaf_classes_where_both_looked(measure):
    drawn, called = np.array([0, 1, 1, 2, 5]), np.array([0, 1, 2, 2, 2])
    known = np.array([True, True, True, False, True])  # the fourth was not rated, the fifth is a group
    assert measure.confusion(drawn, called, known, 3).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_well_aerated_lung_is_lung_without_opacity(measure, labels):
    everywhere = np.ones(6, dtype=bool)
    mask = np.array([0, 1, 1, 1, 2, 4])  # five of lung, two of them with an opacity
    assert measure.aerated_percent(mask, everywhere, labels) == pytest.approx(60)
    assert math.isnan(measure.aerated_percent(mask, everywhere & (mask != 4), labels))  # a part is never the whole
    assert math.isnan(measure.aerated_percent(np.zeros(6, dtype=int), everywhere, labels))  # no lung
    assert math.isnan(measure.aerated_percent(mask, everywhere, LabelSet.binary("lung")))  # no opacity is named


def test_entropy_of_the_votes_where_anybody_sees_an_opacity(measure, labels):
    masks = np.array([[1, 2, 2, 2, 1], [1, 2, 3, 1, 1], [1, 2, 3, 1, 2]])
    rated = np.ones(masks.shape, dtype=bool)
    rated[2, 1] = False  # two readers are left there, who agree
    rated[:2, 4] = False  # one reader is no agreement
    nats, agreed, voxels = measure.entropy_of_raters(masks, rated, labels)
    third = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert (agreed, voxels) == (1, 3) and nats == pytest.approx(2 * third)


def test_a_case(measure, labels):
    masks = {"a": np.array([[1, 1, 2]], dtype=np.uint8), "b": np.array([[1, 2, 2]], dtype=np.uint8)}
    geometry = Geometry((1, 3), (1.0, 1.0))
    case = Case("c", "p", "here", np.zeros((1, 3), dtype=np.int16), masks, geometry)
    found = measure.measure_case(case, np.array([[1, 2, 2]]), 40.0, labels)
    model, raters = (np.array(found["confusion"][k]) for k in ("model", "raters"))
    # a: 1 as 1, 1 as 2, 2 as 2; b: 1 as 1, 2 as 2 twice
    assert model[1].tolist() == [0, 2, 1, 0, 0] and model[2].tolist() == [0, 0, 3, 0, 0]
    assert np.array_equal(raters, raters.T) and raters.sum() == 6
    assert found["aerated"] == {"model": 40.0, "a": pytest.approx(66.6667), "b": pytest.approx(33.3333)}
    # the model has two voxels of opacity, of which a drew one and b both
    assert found["opacity_iou"] == pytest.approx(0.75)
    assert found["raters"]["voxels"] == 2 and found["raters"]["agreed"] == 1
