"""Tasks of Label Studio as its JSON export gives them, worked by hand."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from PIL import Image

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.manifest import open_dataset

ROWS, COLUMNS = 4, 10


def brush(pixels):
    """RGBA values, each written alone: 53 bits of head, then 0, 00, length 1 and the byte."""
    mask = np.zeros((ROWS, COLUMNS), int)
    mask[pixels] = 255
    bits = f"{ROWS * COLUMNS * 4:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    bits += "".join(f"000000{v:08b}" for v in np.repeat(mask.ravel(), 4))
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


def region(kind, label, **value):
    return {
        "id": "x1",
        "type": kind,
        "from_name": "tag",
        "to_name": "image",
        "original_width": COLUMNS,
        "original_height": ROWS,
        "image_rotation": 0,
        "value": {**value, **({kind: [label]} if label else {})},
    }


def annotation(who, *results, **more):
    return {"id": 1, "completed_by": who, "was_cancelled": False, "result": list(results), **more}


def task(image, *annotations):
    return {"id": 5, "data": {"image": image}, "annotations": list(annotations), "predictions": [], "drafts": []}


POLYGON = region("polygonlabels", "cell", points=[[10, 25], [30, 25], [30, 75], [10, 75]], closed=True)  # (1..2, 1..2)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b c.png"):
        Image.fromarray(np.arange(40, dtype=np.uint8).reshape(ROWS, COLUMNS)).save(tmp_path / "images" / name)

    def write(*tasks):
        (tmp_path / "p.json").write_text(json.dumps(list(tasks)))
        return tmp_path / "p.json"

    return write


def load(run_import, tmp_path, *arguments):
    run_import("label_studio", *arguments, "--images", tmp_path / "images", "--out", tmp_path / "d")
    return open_dataset(tmp_path / "d")


def plane(rows, columns, value=1):
    mask = np.zeros((ROWS, COLUMNS), int)
    mask[rows, columns] = value
    return mask


def test_brush_polygon_rectangle_and_ellipse(tmp_path, source, run_import):
    drawn = region("brushlabels", "nucleus", format="rle", rle=brush(np.s_[0:2, 3:6]))
    rectangle = region("rectanglelabels", "cell", x=50, y=0, width=30, height=50, rotation=0)
    # a quarter turn clockwise round the corner (5, 1): 2 to the right become 2 down, 3 down become 3 to the left
    turned = region("rectanglelabels", "cell", x=50, y=25, width=20, height=75, rotation=90)
    ellipse = region("ellipselabels", "cell", x=50, y=50, radiusX=20, radiusY=25, rotation=0)
    second_task = ((1, rectangle), (2, turned), (4, ellipse))
    mail = {"id": 9, "email": "eva@example.org"}
    path = source(
        task("/data/upload/3/0123abcd-a.png", annotation(1, drawn), annotation(mail, POLYGON), annotation(3)),
        task("/data/local-files/?d=images/b%20c.png", *(annotation(k, r) for k, r in second_task)),
    )
    dataset = load(run_import, tmp_path, path, "--raters", "1=anna", "--labels", "cell", "nucleus")
    assert dataset.info.labels.names == ("background", "cell", "nucleus")
    first, second = dataset
    assert list(first.masks) == ["anna", "user-9", "user-3"]
    assert np.array_equal(first.masks["anna"], plane(slice(0, 2), slice(3, 6), 2))
    assert np.array_equal(first.masks["user-9"], plane(slice(1, 3), slice(1, 3)))
    assert not first.masks["user-3"].any()  # finished without a region
    assert second.case_id == "b-c"
    assert np.array_equal(second.masks["anna"], plane(slice(0, 2), slice(5, 8)))
    assert np.array_equal(second.masks["user-2"], plane(slice(1, 3), slice(2, 5)))
    # centre (5, 2), radii 2 and 1: of rows 1 and 2 the pixels with ((c - 4.5) / 2)^2 + 0.25 < 1
    assert np.array_equal(second.masks["user-4"], plane(slice(1, 3), slice(4, 6)) | plane(slice(1, 3), slice(3, 7)))


def test_cancelled_and_unfinished_are_absent(tmp_path, source, run_import):
    path = source(
        task("a.png", annotation(1, POLYGON), annotation(2, POLYGON, was_cancelled=True)),
        task("b c.png"),
    )
    (case,) = load(run_import, tmp_path, path)
    assert list(case.masks) == ["user-1"]


def test_what_has_no_area_is_told(tmp_path, source, run_import):
    point = region("keypointlabels", "cell", x=1, y=1, width=2)
    line = region("polygonlabels", "cell", points=[[1, 1], [50, 50]], closed=False)
    nameless = region("polygon", None, points=POLYGON["value"]["points"])
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    with pytest.warns(ProbsegWarning, match="W_ANNOTATION_SKIPPED: 3 regions"):
        (case,) = load(run_import, tmp_path, source(task("a.png", annotation(1, point, line, nameless, choice))))
    assert not case.masks["user-1"].any()


def test_faults(tmp_path, source, run_import):
    size, turned, cut = (copy.deepcopy(POLYGON) for _ in range(3))
    size["original_width"] = 9
    turned["image_rotation"] = 90
    cut["value"]["points"] = [[1, 1], [2]]
    short = region("brushlabels", "cell", format="rle", rle=brush(np.s_[0, 0])[:50])
    for entry, arguments, code in (
        ({"id": 1, "image": "a.png", "label": []}, (), "E_SCHEMA"),
        (task("a.png", {"completed_by": 1}), (), "E_SCHEMA"),
        (task("a.png", annotation(None, POLYGON)), (), "E_SCHEMA"),
        (task("a.png", annotation(1, turned)), (), "E_SCHEMA"),
        (task(None, annotation(1, POLYGON)), (), "E_SCHEMA"),
        (task("a.png", annotation(1, size)), (), "E_SHAPE_MISMATCH"),
        (task("a.png", annotation(1, cut)), (), "E_PARSE"),
        (task("a.png", annotation(1, short)), (), "E_PARSE"),
        (task("c.png", annotation(1, POLYGON)), (), "E_FILE_MISSING"),
        (task("a.png", annotation(1, POLYGON), annotation(1, POLYGON)), (), "E_DUPLICATE_RATER"),
        (task("a.png", annotation(1, POLYGON)), ("--labels", "nucleus"), "E_UNKNOWN_LABEL"),
    ):
        with pytest.raises(ProbsegError) as caught:
            load(run_import, tmp_path, source(entry), *arguments)
        assert caught.value.code == code, str(caught.value)
        assert not (tmp_path / "d").exists()
