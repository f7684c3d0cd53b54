"""NPZ stacks: names, masks packed or not, and arrays that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from probseg.errors import ProbsegError
from probseg.io.stack import Stack
from probseg.labels import LabelClass, LabelSet


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (3, 4, 11)).astype(np.uint8),
        "masks": rng.integers(0, 2, (3, 2, 4, 11)).astype(np.uint8),
    }


def save(folder, **arrays):
    np.savez_compressed(folder / "stack.npz", **arrays)
    return folder / "stack.npz"


def refused(code, path):
    with pytest.raises(ProbsegError) as caught:
        stack = Stack(path)
        [stack.load(r, LabelSet.binary("x")) for r in stack.records()]
    assert caught.value.code == code, str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_cases_hold_their_own_image_and_masks(tmp_path, arrays, packed):
    """Eleven columns: a packed row has five bits of filling that must not show."""
    stored = {**arrays, "masks": np.packbits(arrays["masks"], axis=-1)} if packed else arrays
    stack = Stack(save(tmp_path, **stored))
    records = stack.records()
    assert [r.case_id for r in records] == ["case-00000", "case-00001", "case-00002"]
    assert [x.rater for x in records[0].readings] == ["reading-1", "reading-2"]
    for k, record in enumerate(records):
        case = stack.load(record, LabelSet.binary("x"))
        assert_array_equal(case.image, arrays["image"][k])
        assert_array_equal(case.masks["reading-2"], arrays["masks"][k, 1])
        assert case.geometry.spacing is None
    assert not stack.default_info().stable_raters
    assert stack.default_info().window == (0.0, 255.0)


def test_names_spacing_and_splits_come_from_the_file(tmp_path, arrays):
    named = {
        "patient": np.array(["p1", "p1", "p2"]),
        "nodule": np.array([0, 0, 4]),
        "slice": np.array([7, 8, 7]),
        "split": np.array(["train", "train", "test"]),
        "site": np.array(["a", "a", "b"]),
        "rater": np.array(["Ann", "Ben"]),
        "pixel_spacing_mm": np.array([0.5, 0.5, 0.7]),
        "slice_thickness_mm": np.array([1.0, 1.0, 2.0]),
    }
    stack = Stack(save(tmp_path, **arrays, **named))
    records = stack.records()
    assert [r.case_id for r in records] == ["p1-n0-s7", "p1-n0-s8", "p2-n4-s7"]
    assert [(r.patient_id, r.split, r.site) for r in records][2] == ("p2", "test", "b")
    case = stack.load(records[2], LabelSet.binary("x"))
    assert list(case.masks) == ["Ann", "Ben"]
    assert case.geometry.spacing == (0.7, 0.7)
    assert case.geometry.voxel_volume_ml == pytest.approx(0.7 * 0.7 * 2.0 / 1000)
    assert stack.default_info().stable_raters


def test_file_values_become_dense_labels(tmp_path, arrays):
    stack = Stack(save(tmp_path, image=arrays["image"], masks=arrays["masks"] * 5))
    labels = LabelSet((LabelClass(0, "background"), LabelClass(5, "glass")))
    assert_array_equal(stack.load(stack.records()[0], labels).masks["reading-1"], arrays["masks"][0, 0])
    refused("E_UNKNOWN_LABEL", stack.path)


FAULTS = {
    "no masks": ("E_SCHEMA", lambda a: {"image": a["image"]}),
    "four axes": ("E_SCHEMA", lambda a: {**a, "image": a["image"][..., None]}),
    "fewer masks": ("E_SCHEMA", lambda a: {**a, "masks": a["masks"][:2]}),
    "other columns": ("E_SCHEMA", lambda a: {**a, "masks": a["masks"][..., :9]}),
    "wide and packed": ("E_SCHEMA", lambda a: {**a, "masks": a["masks"][..., :2].astype(np.int16)}),
    "fewer patients": ("E_SCHEMA", lambda a: {**a, "patient": np.array(["a", "b"])}),
    "fewer spacings": ("E_SCHEMA", lambda a: {**a, "pixel_spacing_mm": np.ones(2)}),
    "fewer raters": ("E_SCHEMA", lambda a: {**a, "rater": np.array(["Ann"])}),
    "a rater twice": ("E_DUPLICATE_RATER", lambda a: {**a, "rater": np.array(["Ann", "Ann"])}),
    "a case twice": ("E_DUPLICATE_CASE", lambda a: {**a, "patient": np.array(["a", "b", "a"])}),
    "a bad case id": ("E_BAD_CASE_ID", lambda a: {**a, "case": np.array(["a", "..", "b"])}),
    "pickles": ("E_PARSE", lambda a: {**a, "image": np.array([{}, {}, {}])}),
}


@pytest.mark.parametrize(("code", "change"), FAULTS.values(), ids=FAULTS.keys())
def test_arrays_that_do_not_fit(tmp_path, arrays, code, change):
    refused(code, save(tmp_path, **change(arrays)))


def test_files_that_are_no_npz(tmp_path, arrays):
    refused("E_FILE_MISSING", tmp_path / "none.npz")
    (tmp_path / "empty.npz").touch()
    refused("E_EMPTY_FILE", tmp_path / "empty.npz")
    np.save(tmp_path / "a.npy", arrays["image"])
    refused("E_PARSE", tmp_path / "a.npy")
    path = save(tmp_path, **arrays)
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    refused("E_PARSE", path)
    data[200] ^= 0xFF
    path.write_bytes(data)
    refused("E_PARSE", path)
