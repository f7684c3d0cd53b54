"""An export of MD.ai in its own layout, on a small CT; masks worked by hand."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.manifest import open_dataset

SHAPE = (4, 6, 7)
LABELS = [
    {"id": "L_g", "name": "glass", "color": "#00FF00", "annotationMode": "freeform", "scope": "INSTANCE"},
    {"id": "L_s", "name": "solid", "color": "#ff0000", "annotationMode": "polygon", "scope": "INSTANCE"},
    {"id": "L_b", "name": "box", "color": "", "annotationMode": "bbox", "scope": "INSTANCE"},
    {"id": "L_m", "name": "painted", "color": None, "annotationMode": "mask", "scope": "INSTANCE"},
    {"id": "L_l", "name": "length", "color": "#0000ff", "annotationMode": "line", "scope": "INSTANCE"},
    {"id": "L_n", "name": "nothing found", "color": "#0000ff", "annotationMode": None, "scope": "SERIES"},
]


def annotation(label, user, k, data, **changes):
    made = {
        "id": "A_1",
        "labelId": label,
        "createdById": user,
        "StudyInstanceUID": "1.2.3.0",
        "SeriesInstanceUID": "1.2.3",
        "SOPInstanceUID": None if k is None else f"1.2.3.{k + 1}",
        "height": SHAPE[1],
        "width": SHAPE[2],
        "data": data,
        "note": None,
    }
    return {**made, **changes}


def export(*annotations):
    return {
        "id": "project",
        "name": "opacities",
        "users": [{"id": "U_a", "name": "Anna"}, {"id": "U_b", "name": "Ben"}],
        "labelGroups": [{"id": "G_1", "name": "group", "type": "default", "labels": LABELS}],
        "datasets": [{"id": "D_1", "name": "first", "studies": [], "annotations": list(annotations)}],
    }


# From column 1 to 4 and row 2 to 4, measured from the corner of the first pixel: pixels (2..3, 1..3)
RECTANGLE = [[1.0, 2.0], [4.0, 2.0], [4.0, 4.0], [1.0, 4.0]]


@pytest.fixture
def source(tmp_path, write_ct):
    volume = np.random.default_rng(5).integers(-1000, 400, SHAPE).astype(np.int16)
    write_ct(tmp_path / "dicom" / "a", volume, patient="P7")
    write_ct(tmp_path / "dicom" / "b", volume[:2], uid="1.2.4", patient="P8")

    def write(*annotations, data=None):
        path = tmp_path / "export.json"
        path.write_text(json.dumps(export(*annotations) if data is None else data))
        return path

    return write


def load(run_import, tmp_path, path, *arguments):
    run_import("mdai", path, "--images", tmp_path / "dicom", "--out", tmp_path / "d", *arguments)
    return open_dataset(tmp_path / "d")


def plane(rows, columns, value):
    mask = np.zeros(SHAPE[1:], int)
    mask[rows, columns] = value
    return mask


def test_outlines_boxes_and_masks(tmp_path, source, run_import):
    painted = {
        "foreground": [[[1, 1], [5, 1], [5, 5], [1, 5]]],
        "background": [[[3, 3], [3, 3]]],
    }
    path = source(
        annotation("L_g", "U_a", 0, {"vertices": [v for pair in RECTANGLE for v in pair]}),
        annotation("L_s", "U_a", 1, {"vertices": RECTANGLE}),
        annotation("L_b", "U_b", 1, {"x": 1.6, "y": 0.4, "width": 2.0, "height": 1.0}),
        annotation("L_m", "U_b", 3, painted),
    )
    dataset = load(run_import, tmp_path, path, "--raters", "U_a=Anna")
    assert [c.name for c in dataset.info.labels.classes] == ["background", "glass", "solid", "box", "painted"]
    assert dataset.info.labels.classes[1].colour == "#00ff00"
    (case,) = dataset
    assert (case.case_id, case.patient_id, list(case.masks)) == ("case-0001", "patient-0001", ["Anna", "U_b"])
    assert "P7" not in (tmp_path / "d" / "cases.csv").read_text()
    anna, ben = case.masks["Anna"], case.masks["U_b"]
    assert np.array_equal(anna[0], plane(slice(2, 4), slice(1, 4), 1))
    assert np.array_equal(anna[1], plane(slice(2, 4), slice(1, 4), 2))
    assert not anna[2:].any()
    # centres 1.5 < 1.6 is out, 2.5 and 3.5 < 3.6 are in; rows: 0.5 lies within 0.4 and 1.4
    assert np.array_equal(ben[1], plane(slice(0, 1), slice(2, 4), 3))
    expected = plane(slice(1, 6), slice(1, 6), 4)
    expected[3, 3] = 0
    assert np.array_equal(ben[3], expected)


@pytest.mark.parametrize("mode", ["all", "marked"])
def test_who_only_looked_has_an_empty_mask(tmp_path, source, run_import, mode):
    path = source(
        annotation("L_s", "U_a", 1, {"vertices": RECTANGLE}),
        annotation("L_n", "U_b", None, None, SOPInstanceUID=None),
        annotation("L_n", "U_c", None, None, SOPInstanceUID=None, SeriesInstanceUID=None),
        annotation("L_n", "U_d", None, None, SOPInstanceUID=None, SeriesInstanceUID="9.9"),
    )
    (case,) = load(run_import, tmp_path, path, "--rated", mode)
    assert list(case.masks) == ["U_a", "U_b", "U_c"]
    assert not case.masks["U_b"].any()
    assert case.rated_by("U_a").any(axis=(1, 2)).tolist() == [mode == "all" or k == 1 for k in range(4)]


def test_a_label_of_a_whole_series_alone_makes_a_case(tmp_path, source, run_import):
    (case,) = load(run_import, tmp_path, source(annotation("L_n", "U_b", None, None, SOPInstanceUID=None)))
    assert list(case.masks) == ["U_b"] and not case.masks["U_b"].any()


def test_slices_of_a_turned_series(tmp_path, write_ct, run_import):
    volume = np.random.default_rng(5).integers(-1000, 400, SHAPE).astype(np.int16)
    write_ct(tmp_path / "dicom", volume, flipped=True)
    path = tmp_path / "e.json"
    path.write_text(json.dumps(export(annotation("L_s", "U_a", 2, {"vertices": RECTANGLE}))))
    (case,) = load(run_import, tmp_path, path)
    stored = np.zeros(SHAPE, int)
    stored[2, 2:4, 1:4] = 2
    assert np.array_equal(case.masks["U_a"], stored[:, ::-1, ::-1])
    assert np.array_equal(case.image, volume[:, ::-1, ::-1])


def test_overlap_lines_and_lost_slices_are_told(tmp_path, source, run_import):
    path = source(
        annotation("L_s", "U_a", 1, {"vertices": RECTANGLE}),
        annotation("L_b", "U_a", 1, {"x": 0, "y": 2, "width": 2, "height": 1}),
        annotation("L_l", "U_a", 1, {"vertices": [[0, 0], [3, 3]]}),
        annotation("L_s", "U_a", 1, {"vertices": RECTANGLE}, SOPInstanceUID="5.5.5"),
    )
    with pytest.warns(ProbsegWarning) as told:
        (case,) = load(run_import, tmp_path, path)
    assert sorted(w.message.code for w in told) == ["W_ANNOTATION_SKIPPED", "W_NO_SERIES", "W_OVERLAP"]
    assert "on 1 pixels" in str(next(w.message for w in told if w.message.code == "W_OVERLAP"))
    assert case.masks["U_a"][1, 2, :4].tolist() == [3, 3, 2, 2]


def test_patient_ids_are_kept_on_demand(tmp_path, source, write_ct, run_import):
    write_ct(tmp_path / "dicom" / "c", np.zeros(SHAPE, np.int16), uid="1.2.5", patient="P7")
    write_ct(tmp_path / "dicom" / "d", np.zeros(SHAPE, np.int16), uid="1.2.6", patient="P 9")
    none = {"SOPInstanceUID": None}
    marks = [annotation("L_n", "U_a", None, None, **none, SeriesInstanceUID=f"1.2.{k}") for k in (3, 4, 5, 6)]
    ids = [(r.case_id, r.patient_id) for r in load(run_import, tmp_path, source(*marks), "--patient-ids").records]
    assert [p for _, p in ids] == ["P7", "P8", "P7", "P 9"]
    assert [c.rstrip("0123456789abcdef") for c, _ in ids] == ["P7-", "P", "P7-", "P-9-"]
    run_import("mdai", source(*marks), "--images", tmp_path / "dicom", "--out", tmp_path / "e")
    numbered = [(r.case_id, r.patient_id[-1]) for r in open_dataset(tmp_path / "e").records]
    assert numbered == [("case-0001", "1"), ("case-0002", "2"), ("case-0003", "1"), ("case-0004", "3")]


def test_choice_of_labels(tmp_path, source, run_import):
    path = source(
        annotation("L_g", "U_a", 0, {"vertices": RECTANGLE}), annotation("L_s", "U_a", 1, {"vertices": RECTANGLE})
    )
    dataset = load(run_import, tmp_path, path, "--labels", "solid")
    (case,) = dataset
    assert dataset.info.labels.names == ("background", "solid")
    assert case.masks["U_a"].any(axis=(1, 2)).tolist() == [False, True, False, False]


def test_faults(tmp_path, source, run_import):
    good = annotation("L_s", "U_a", 1, {"vertices": RECTANGLE})
    broken = copy.deepcopy(export(good))
    del broken["datasets"][0]["annotations"]
    for data, arguments, code in (
        (broken, (), "E_SCHEMA"),
        ([], (), "E_SCHEMA"),
        (export({k: v for k, v in good.items() if k != "createdById"}), (), "E_SCHEMA"),
        (export({**good, "height": 9}), (), "E_SHAPE_MISMATCH"),
        (export({**good, "data": None}), (), "E_PARSE"),
        (export({**good, "data": {"vertices": [1, 2, 3]}}), (), "E_PARSE"),
        (export({**good, "data": {"vertices": [["a", "b"]]}}), (), "E_PARSE"),
        (export({**good, "SOPInstanceUID": "5.5", "SeriesInstanceUID": "5"}), (), "E_NO_CASES"),
        (export(good), ("--labels", "length"), "E_UNKNOWN_LABEL"),
        (export(good), ("--raters", "U_a"), "E_USAGE"),
    ):
        with pytest.raises(ProbsegError) as caught:
            load(run_import, tmp_path, source(data=data), *arguments)
        assert caught.value.code == code, str(caught.value)
        assert not (tmp_path / "d").exists()
    (tmp_path / "cut.json").write_text(json.dumps(export(good))[:-9])
    with pytest.raises(ProbsegError, match="E_PARSE"):
        load(run_import, tmp_path, tmp_path / "cut.json")
