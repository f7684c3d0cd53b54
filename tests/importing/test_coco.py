"""COCO instances in both forms of mask, a file a rater or one file with raters, worked by hand."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from PIL import Image

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.manifest import open_dataset

SHAPE = (4, 5)
SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]  # pixels (1..2, 1..2)


def export(*annotations, categories=((1, "cell"), (7, "nucleus"))):
    return {
        "info": {},
        "images": [
            {"id": 10, "file_name": "P1_a.png", "height": 4, "width": 5},
            {"id": 11, "file_name": "sub/P2_b.png", "height": 4, "width": 5},
        ],
        "categories": [{"id": k, "name": name, "supercategory": ""} for k, name in categories],
        "annotations": [
            {"id": k, "image_id": image, "category_id": category, "segmentation": s, "iscrowd": 0, **more}
            for k, (image, category, s, more) in enumerate(annotations)
        ],
    }


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(1)
    made = {}
    for name in ("P1_a.png", "sub/P2_b.png"):
        made[name] = rng.integers(0, 255, SHAPE, dtype=np.uint8)
        Image.fromarray(made[name]).save(folder / name)
    return made


@pytest.fixture
def write(tmp_path):
    def one(name, data):
        (tmp_path / name).write_text(json.dumps(data))
        return tmp_path / name

    return one


def load(run_import, tmp_path, *arguments):
    run_import("coco", *arguments, "--images", tmp_path / "images", "--out", tmp_path / "d")
    return open_dataset(tmp_path / "d")


def square(value):
    mask = np.zeros(SHAPE, int)
    mask[1:3, 1:3] = value
    return mask


def test_one_file_a_rater(tmp_path, images, write, run_import):
    runs = {"size": [4, 5], "counts": [5, 2, 2, 2, 9]}  # down the columns: (1..2, 1) and (1..2, 2)
    corners = [[0, 0, 1, 0, 1, 1, 0, 1], [4, 3, 5, 3, 5, 4, 4, 4]]
    anna = write("a.json", export((10, 1, [SQUARE], {}), (11, 7, corners, {})))
    crowd = {"size": [4, 5], "counts": [0, 1, 19]}
    ben = write("b.json", export((10, 7, runs, {}), (10, 1, crowd, {"iscrowd": 1})))
    dataset = load(run_import, tmp_path, f"anna={anna}", f"ben={ben}", "--patient", "^(P[0-9]+)_")
    assert [(c.value, c.name) for c in dataset.info.labels.classes] == [(0, "background"), (1, "cell"), (7, "nucleus")]
    first, second = dataset
    assert (first.case_id, first.patient_id) == ("P1_a", "P1")
    assert (second.case_id, second.patient_id) == ("sub-P2_b", "P2")
    assert np.array_equal(first.image, images["P1_a.png"]) and np.array_equal(second.image, images["sub/P2_b.png"])
    decode = dataset.info.labels.decode
    assert np.array_equal(decode(first.masks["anna"]), square(1))
    expected = np.zeros(SHAPE, int)
    expected[0, 0] = expected[3, 4] = 7
    assert np.array_equal(decode(second.masks["anna"]), expected)
    assert np.array_equal(decode(first.masks["ben"]), square(7) + np.pad([[1]], ((0, 3), (0, 4))))
    assert not second.masks["ben"].any()  # his file lists the image
    assert list(second.masks) == ["anna", "ben"]


def test_compressed_run_lengths(tmp_path, images, write, run_import):
    # 5, 2, 2, 2 - 2 = 0, 9 - 2 = 7
    path = write("ben.json", export((10, 7, {"size": [4, 5], "counts": "52207"}, {})))
    case = next(iter(load(run_import, tmp_path, path)))
    assert np.array_equal(case.masks["ben"], square(2))


def test_raters_named_in_each_annotation(tmp_path, images, write, run_import):
    path = write(
        "all.json",
        export((10, 1, [SQUARE], {"annotator": 3}), (10, 7, [SQUARE], {"attributes": {"annotator": "eva"}})),
    )
    dataset = load(run_import, tmp_path, path, "--rater-key", "annotator")
    (case,) = dataset  # nobody is known to have read the other image
    assert list(case.masks) == ["3", "eva"]


def test_ids_that_disagree_become_new_values(tmp_path, images, write, run_import):
    anna = write("a.json", export((10, 1, [SQUARE], {})))
    ben = write("b.json", export((10, 2, [SQUARE], {}), categories=((2, "cell"), (0, "debris"))))
    dataset = load(run_import, tmp_path, anna, ben)
    assert [(c.value, c.name) for c in dataset.info.labels.classes][1:] == [(1, "cell"), (2, "nucleus"), (3, "debris")]
    case = next(iter(dataset))
    assert np.array_equal(case.masks["a"], case.masks["b"])


def test_overlap_is_told(tmp_path, images, write, run_import):
    path = write("a.json", export((10, 1, [SQUARE], {}), (10, 7, [[2, 2, 4, 2, 4, 4, 2, 4]], {})))
    with pytest.warns(ProbsegWarning, match="W_OVERLAP: .* on 1 pixels"):
        load(run_import, tmp_path, path)


def test_faults(tmp_path, images, write, run_import):
    good = export((10, 1, [SQUARE], {}))
    no_names, wide, lost = (copy.deepcopy(good) for _ in range(3))
    del no_names["categories"]
    wide["images"][0]["width"] = 6
    lost["images"][0]["file_name"] = "P9.png"
    for data, arguments, code in (
        (no_names, (), "E_SCHEMA"),
        (export((12, 1, [SQUARE], {})), (), "E_SCHEMA"),
        (export((10, 9, [SQUARE], {})), (), "E_SCHEMA"),
        (export((10, 1, [], {})), (), "E_PARSE"),
        (export((10, 1, [[1, 2, 3]], {})), (), "E_PARSE"),
        (export((10, 1, {"size": [4, 5], "counts": [3]}, {})), (), "E_PARSE"),
        (wide, (), "E_SHAPE_MISMATCH"),
        (lost, (), "E_FILE_MISSING"),
        (good, ("--rater-key", "who"), "E_SCHEMA"),
        (good, ("--patient", "(x"), "E_USAGE"),
        (good, ("--patient", "^Q"), "E_USAGE"),
    ):
        with pytest.raises(ProbsegError) as caught:
            load(run_import, tmp_path, write("a.json", data), *arguments)
        assert caught.value.code == code, str(caught.value)
        assert not (tmp_path / "d").exists()
    with pytest.raises(ProbsegError, match="E_DUPLICATE_RATER"):
        load(run_import, tmp_path, write("a.json", good), write("a.json", good))
