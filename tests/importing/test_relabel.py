"""Classes put together: tables worked by hand, and a data set written anew."""

import numpy as np
import pytest

from probseg.case import Case, Geometry
from probseg.errors import ProbsegError
from probseg.importing.build import write_dataset
from probseg.importing.relabel import coarsened_labels, label_table, relabelled
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.manifest import open_dataset
from probseg.records import CaseRecord, Dataset, DatasetInfo, Reading

FINE = LabelSet(
    (LabelClass(0, "background"), LabelClass(3, "left"), LabelClass(4, "right"), LabelClass(9, "solid")),
    (LabelGroup("lung", ("left", "right"), 20), LabelGroup("ill", ("right", "solid"), 21)),
    unknown=255,
)
COARSE = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "lung"), LabelClass(2, "opacity")),
    (LabelGroup("inside", ("lung", "opacity"), 7),),
    unknown=255,
)
CLASS_OF = {"background": "background", "left": "lung", "right": "lung", "solid": "opacity"}


def test_a_label_becomes_what_its_classes_become():
    # background, left, right, solid; the group of left and right is one class, that of right and solid stays a group
    assert label_table(FINE, COARSE, CLASS_OF).tolist() == [0, 1, 1, 2, 1, 7, 255]


def test_what_has_no_counterpart_is_refused():
    with pytest.raises(ProbsegError, match=r"E_UNKNOWN_LABEL.*'solid'"):
        label_table(FINE, COARSE, {k: v for k, v in CLASS_OF.items() if k != "solid"})
    without = LabelSet(COARSE.classes, unknown=255)
    with pytest.raises(ProbsegError, match="'ill' may become lung, opacity"):
        label_table(FINE, without, CLASS_OF)


def test_everything_but_labels_and_intensities_stays(tmp_path):
    geometry = Geometry((2, 2, 2), (5.0, 1.0, 1.0))
    hu = np.arange(8, dtype=np.int16).reshape(2, 2, 2) * 100 - 400
    mask = np.array([[[0, 1], [2, 3]], [[0, 0], [5, 6]]], dtype=np.uint8)  # dense labels
    looked = np.array([True, False]).reshape(2, 1, 1)
    case = Case("c", "p", "here", hu, {"ann": mask, "ben": mask}, geometry, {"ben": looked})
    readings = (Reading("ann", "", note="drawn at night"), Reading("ben", ""))
    record = CaseRecord("c", "p", "here", "test", "", readings)
    dataset = Dataset(DatasetInfo("d", 3, FINE, (-1000.0, 50.0)), (record,), lambda _: case)
    read = coarsened_labels(label_table(FINE, COARSE, CLASS_OF))
    info = DatasetInfo("e", 3, COARSE, (-1000.0, 50.0))
    written = open_dataset(write_dataset(tmp_path / "e", info, relabelled(dataset, read, lambda x: x // 2)))
    (found,) = written
    assert np.array_equal(found.image, hu // 2) and found.geometry == geometry
    values = COARSE.decode(found.masks["ann"])
    assert values.tolist() == [[[0, 1], [1, 2]], [[0, 0], [7, 255]]]
    assert "ann" not in found.rated and found.rated_by("ben").any(axis=(1, 2)).tolist() == [True, False]
    (kept,) = written.records
    assert (kept.patient_id, kept.site, kept.split) == ("p", "here", "test")
    assert [r.note for r in kept.readings] == ["drawn at night", ""]
