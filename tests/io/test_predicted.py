import hashlib
import json

import numpy as np
import pytest

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io import nifti
from probseg.io.predicted import open_predictions
from probseg.labels import LabelClass, LabelSet

LABELS = LabelSet((LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")))
GRID = Geometry((4, 5, 6), (2.5, 0.5, 0.75))


@pytest.fixture
def folder(tmp_path):
    """Two cases as ``probseg predict`` leaves them."""
    scans = []
    for k, case_id in enumerate(("a", "b")):
        mode = np.zeros(GRID.shape, np.uint8)
        mode[: k + 1] = 5
        nifti.write(tmp_path / case_id / "mode.nii.gz", mode, GRID)
        summary = {
            "case_id": case_id,
            "shape": list(GRID.shape),
            "classes": {c.name: c.value for c in LABELS.classes},
            "uncertainty_nats": {"entropy": {"scan": 0.25, "foreground": None}},
        }
        (tmp_path / case_id / "summary.json").write_text(json.dumps(summary))
        digest = hashlib.sha256((tmp_path / case_id / "mode.nii.gz").read_bytes()).hexdigest()
        scans.append({"case_id": case_id, "files": {"mode.nii.gz": digest}})
    (tmp_path / "manifest.json").write_text(json.dumps({"scans": scans}))
    return tmp_path


def test_predictions_come_back_as_dense_labels(folder):
    found = open_predictions(folder, LABELS)
    assert list(found) == ["a", "b"]
    mask = found["b"].read(GRID, LABELS)
    assert (mask[:2] == 1).all() and not mask[2:].any()
    assert found["a"].entropy_voxels == pytest.approx(0.25 * 120)


def test_another_grid_and_other_classes_are_refused(folder):
    found = open_predictions(folder, LABELS)
    moved = Geometry(GRID.shape, GRID.spacing, origin=(30.0, 0.0, 0.0))
    with pytest.raises(ProbsegError, match="E_AFFINE_MISMATCH"):
        found["a"].read(moved, LABELS)
    other = LabelSet((LabelClass(0, "background"), LabelClass(5, "nodule")))
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH"):
        open_predictions(folder, other)
    fewer = LabelSet(LABELS.classes[:2])  # without `solid`, which this model could have given and did not
    assert open_predictions(folder, fewer)["a"].read(GRID, fewer).max() == 1


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("manifest.json", None, "E_FILE_MISSING"),
        ("manifest.json", "{", "E_PARSE"),
        ("manifest.json", "[]", "E_SCHEMA"),
        ("manifest.json", '{"scans": [{"case_id": "a"}]}', "E_SCHEMA"),
        ("manifest.json", '{"scans": [{"case_id": "..", "files": {"mode.nii.gz": "0"}}]}', "E_BAD_CASE_ID"),
        ("a/summary.json", None, "E_FILE_MISSING"),
        ("a/summary.json", '{"shape": [1]}', "E_SCHEMA"),
    ],
)
def test_what_is_no_finished_run(folder, name, text, code):
    path = folder / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ProbsegError, match=code):
        open_predictions(folder, LABELS)


def test_a_truncated_result_is_not_taken_for_finished(folder):
    path = folder / "a" / "mode.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ProbsegError, match="E_CORRUPT"):
        open_predictions(folder, LABELS)["a"].read(GRID, LABELS)
