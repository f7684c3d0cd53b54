"""dataset.yaml and cases.csv: a folder read whole, and each fault with its code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from numpy.testing import assert_array_equal

from probseg.case import Geometry
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.io import nifti
from probseg.labels import LabelClass, LabelSet
from probseg.manifest import COLUMNS, open_dataset
from probseg.records import DatasetInfo

INFO = DatasetInfo("lungs", 3, LabelSet((LabelClass(0, "background"), LabelClass(5, "glass"))), (-1000.0, 400.0))
GRID = Geometry((4, 5, 6), (2.5, 0.5, 0.75))
HEADER = ",".join(COLUMNS)


@pytest.fixture
def folder(tmp_path):
    """One case, three raters; rater k drew the first k + 1 slices."""
    root = tmp_path / "data set"
    root.mkdir()
    (root / "dataset.yaml").write_text(yaml.safe_dump(INFO.to_dict()))
    image = np.random.default_rng(0).integers(-1000, 400, GRID.shape).astype(np.int16)
    nifti.write(root / "ct.nii.gz", image, GRID)
    for k, rater in enumerate("ABC"):
        mask = np.zeros(GRID.shape, np.uint8)
        mask[: k + 1] = 5
        nifti.write(root / f"{rater}.nii.gz", mask, GRID)
    write_rows(root, *(f"c1,p1,here,ct.nii.gz,{r},{r}.nii.gz,all,train" for r in "ABC"))
    return root


def write_rows(root, *rows, header=HEADER):
    (root / "cases.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def refused(code, root):
    with pytest.raises(ProbsegError) as caught:
        list(open_dataset(root))
    assert caught.value.code == code, str(caught.value)
    return caught.value.message


def row(
    case="c1", patient="p1", site="here", image="ct.nii.gz", rater="A", mask="A.nii.gz", rated="all", split="train"
):
    return ",".join((case, patient, site, image, rater, mask, rated, split))


# Controls -------------------------------------------------------------------------------------------------------------


def test_one_case_of_three_raters(folder):
    dataset = open_dataset(folder)
    assert dataset.info == INFO
    assert (dataset.raters, dataset.patients, dataset.path) == (("A", "B", "C"), ("p1",), folder)
    (case,) = dataset
    assert (case.case_id, case.patient_id, case.site) == ("c1", "p1", "here")
    # dense labels: the value 5 is class 1; 30 voxels a slice
    assert [int(case.masks[r].sum()) for r in "ABC"] == [30, 60, 90]
    assert_array_equal(np.unique(case.masks["C"]), [0, 1])
    assert case.source.path == folder / "ct.nii.gz"
    assert case.geometry.close_to(GRID)
    assert all(case.rated_by(r).all() for r in "ABC")


@pytest.mark.parametrize(
    ("rated", "slices"), [("none", []), ("2", [2]), ("0-1;3", [0, 1, 3]), ("A.nii.gz", [0]), ("", [0, 1, 2, 3])]
)
def test_what_a_rater_looked_at(folder, rated, slices):
    write_rows(folder, row(rater="C", mask="C.nii.gz", rated=rated))
    (case,) = open_dataset(folder)
    seen = case.rated_by("C")
    assert seen.shape == GRID.shape
    assert [k for k in range(4) if seen[k].all()] == slices
    assert int(seen.sum()) == 30 * len(slices)


@pytest.mark.parametrize("rated", ["4", "2-1", "0-9"])
def test_slices_that_are_not_there(folder, rated):
    write_rows(folder, row(rated=rated))
    assert "slices 0 to 3" in refused("E_SCHEMA", folder)


def test_columns_may_be_left_out_and_swapped(folder):
    write_rows(folder, "A,A.nii.gz,ct.nii.gz,,c1,", header="rater,mask,image,site,case_id,patient_id")
    (record,) = open_dataset(folder).records
    assert (record.patient_id, record.split, record.readings[0].rated) == ("c1", "", "all")


def test_a_spreadsheets_byte_order_mark_is_no_letter(folder):
    (folder / "cases.csv").write_text("\ufeff" + HEADER + "\n" + row() + "\n", encoding="utf-8")
    assert len(open_dataset(folder)) == 1


def test_a_dataset_of_two_dimensions_takes_single_slices(tmp_path):
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({**INFO.to_dict(), "dimensions": 2}))
    grid = Geometry((1, 5, 6), (2.5, 0.5, 0.75))
    nifti.write(tmp_path / "ct.nii.gz", np.arange(30, dtype=np.int16).reshape(1, 5, 6), grid)
    nifti.write(tmp_path / "A.nii.gz", np.eye(5, 6, dtype=np.uint8)[None] * 5, grid)
    nifti.write(tmp_path / "B.nii.gz", np.zeros((1, 5, 6), np.uint8), grid)
    write_rows(tmp_path, row(), row(rater="B", mask="B.nii.gz", rated="none"))
    (case,) = open_dataset(tmp_path)
    assert_array_equal(case.image, np.arange(30).reshape(5, 6))
    assert_array_equal(case.masks["A"], np.eye(5, 6))
    assert not case.rated_by("B").any()
    # 0.5 * 0.75 mm times 2.5 mm thick
    assert case.geometry.voxel_volume_ml == pytest.approx(0.5 * 0.75 * 2.5 / 1000)


def test_a_stack_alone_and_with_a_description(tmp_path):
    arrays = {"image": np.zeros((2, 4, 8), np.uint8), "masks": np.full((2, 1, 4, 8), 5, np.uint8)}
    np.savez(tmp_path / "s.npz", **arrays)
    assert open_dataset(tmp_path / "s.npz").info.labels.names == ("background", "foreground")
    assert len(open_dataset(tmp_path)) == 2
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({**INFO.to_dict(), "dimensions": 2, "stack": "s.npz"}))
    dataset = open_dataset(tmp_path)
    assert dataset.info.name == "lungs"
    assert next(iter(dataset)).masks["reading-1"].tolist() == np.ones((4, 8)).tolist()
    outside = {**INFO.to_dict(), "dimensions": 2, "stack": "../s.npz"}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(outside))
    refused("E_PATH_OUTSIDE_ROOT", tmp_path)


# Warnings -------------------------------------------------------------------------------------------------------------


def test_whose_repeat_a_reading_is(folder):
    def described(repeats):
        raters = {"stable": True, "repeats": repeats}
        (folder / "dataset.yaml").write_text(yaml.safe_dump({**INFO.to_dict(), "raters": raters}))

    described({"B": "A"})
    assert open_dataset(folder).info.repeats == (("B", "A"),)
    described({"A": "Ann", "B": "Ann"})  # a person whose readings all have names of their own
    assert len(open_dataset(folder).info.repeats) == 2
    for slip in ({"D": "A"}, {"B": "Amn"}):
        described(slip)
        refused("E_UNKNOWN_RATER", folder)


def test_a_mask_that_is_all_foreground(folder):
    nifti.write(folder / "A.nii.gz", np.full(GRID.shape, 5, np.uint8), GRID)
    with pytest.warns(ProbsegWarning, match="W_FULL_MASK: the mask of rater 'A' of case 'c1'"):
        list(open_dataset(folder))


def test_raters_that_differ_by_letter_case(folder):
    write_rows(folder, row(), row(rater="a", mask="B.nii.gz"))
    with pytest.warns(ProbsegWarning, match="W_RATER_NAME_COLLISION"):
        assert open_dataset(folder).raters == ("A", "a")


# Faults of cases.csv --------------------------------------------------------------------------------------------------

ROWS = {
    "no case": ("E_NO_CASES", []),
    "no rater": ("E_NO_LABELS", [row(rater="", mask="")]),
    "rater twice": ("E_DUPLICATE_RATER", [row(), row(mask="B.nii.gz")]),
    "rater twice to a reader": ("E_DUPLICATE_RATER", [row(rater="\u00e9"), row(rater="e\u0301", mask="B.nii.gz")]),
    "absolute id": ("E_BAD_CASE_ID", [row(case="/etc")]),
    "id that climbs": ("E_BAD_CASE_ID", [row(case="..")]),
    "id of 300": ("E_BAD_CASE_ID", [row(case="x" * 300)]),
    "ANSI id": ("E_BAD_CASE_ID", [row(case="\x1b[31m")]),
    "two images": ("E_DUPLICATE_CASE", [row(), row(rater="B", image="B.nii.gz")]),
    "two patients": ("E_DUPLICATE_CASE", [row(), row(rater="B", patient="p2")]),
    "ids by letter case": ("E_DUPLICATE_CASE", [row(), row(case="C1")]),
    "ids by Unicode": ("E_DUPLICATE_CASE", [row(case="\u00e9"), row(case="e\u0301")]),
    "patient in two splits": ("E_SPLIT_LEAK", [row(), row(case="c2", split="test")]),
    "unknown split": ("E_SCHEMA", [row(split="trian")]),
    "no mask": ("E_SCHEMA", [row(mask="")]),
    "no rater for a mask": ("E_SCHEMA", [row(rater="")]),
    "no image": ("E_SCHEMA", [row(image="")]),
    "a cell too many": ("E_PARSE", [row() + ",more"]),
    "a cell too few": ("E_PARSE", ["c1,p1"]),
    "image outside": ("E_PATH_OUTSIDE_ROOT", [row(image="../ct.nii.gz")]),
    "mask outside": ("E_PATH_OUTSIDE_ROOT", [row(mask="/etc/passwd")]),
    "rated outside": ("E_PATH_OUTSIDE_ROOT", [row(rated="../A.nii.gz")]),
    "image missing": ("E_FILE_MISSING", [row(image="nope.nii.gz")]),
    "NUL in a path": ("E_FILE_MISSING", [row(image="a\0.nii.gz")]),
    "loop of links": ("E_FILE_MISSING", [row(image="loop.nii")]),
    "image as mask": ("E_UNKNOWN_LABEL", [row(mask="ct.nii.gz")]),
}


@pytest.mark.parametrize(("code", "rows"), ROWS.values(), ids=ROWS.keys())
def test_each_fault_of_a_row_has_its_code(folder, code, rows):
    (folder / "loop.nii").symlink_to("loop.nii")
    write_rows(folder, *rows)
    assert refused(code, folder).isprintable()


def test_a_link_that_leaves_the_folder(folder):
    (folder.parent / "elsewhere.nii.gz").write_bytes((folder / "ct.nii.gz").read_bytes())
    (folder / "link.nii.gz").symlink_to("../elsewhere.nii.gz")
    write_rows(folder, row(image="link.nii.gz"))
    refused("E_PATH_OUTSIDE_ROOT", folder)


@pytest.mark.parametrize(
    "header", [HEADER.replace("image", "imgae"), "case_id,image", HEADER + ",weight", HEADER.replace("site", "rater")]
)
def test_each_fault_of_the_header(folder, header):
    write_rows(folder, row(), header=header)
    refused("E_SCHEMA", folder)


def test_a_table_that_is_no_table(folder):
    (folder / "cases.csv").write_bytes("case_id\n".encode("utf-16"))
    refused("E_PARSE", folder)
    (folder / "cases.csv").write_bytes(b"")
    refused("E_EMPTY_FILE", folder)
    (folder / "cases.csv").unlink()
    refused("E_FILE_MISSING", folder)


# Faults of dataset.yaml -----------------------------------------------------------------------------------------------

TEXTS = {
    "object": ("E_PARSE", "!!python/object/apply:os.system [ls]"),
    "name": ("E_PARSE", "name: !!python/name:os.system"),
    "cut off": ("E_PARSE", "labels: {classes: ["),
    "key twice": ("E_PARSE", yaml.safe_dump(INFO.to_dict()) + "name: other\n"),
    "not a number": ("E_PARSE", yaml.safe_dump(INFO.to_dict()).replace("-1000.0", ".nan")),
    "infinite": ("E_PARSE", yaml.safe_dump(INFO.to_dict()).replace("-1000.0", "1e999")),
    "deep": ("E_PARSE", "[" * 5000),
    "a list": ("E_SCHEMA", "- 1"),
    "typo": ("E_SCHEMA", yaml.safe_dump({**INFO.to_dict(), "raterz": {}})),
    "empty": ("E_EMPTY_FILE", ""),
    "bomb": ("E_PARSE", "a: &a [x]\n" + "".join(
        f"{c}: &{c} [{', '.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefghij", "bcdefghijk", strict=True)
    )),
    "bomb as name": ("E_PARSE", "name: [&a [x], " + ", ".join(
        f"&{c} [{', '.join(['*' + p] * 9)}]" for p, c in zip("abcdefghij", "bcdefghijk", strict=True)
    ) + "]\ndimensions: 3\nwindow: [0, 1]\nlabels: {}"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "text"), TEXTS.values(), ids=TEXTS.keys())
def test_each_fault_of_the_description(folder, code, text):
    (folder / "dataset.yaml").write_text(text)
    assert len(refused(code, folder)) < 1000


def test_what_is_no_dataset(tmp_path):
    refused("E_FILE_MISSING", tmp_path / "nowhere")
    refused("E_FILE_MISSING", tmp_path)
    (tmp_path / "note.txt").write_text("hello")
    refused("E_PARSE", tmp_path / "note.txt")
    (tmp_path / "dataset.yaml").mkdir()
    refused("E_IS_DIRECTORY", tmp_path)


def annotations_only(folder, image=""):
    (folder / "masks").mkdir(parents=True)
    grid = Geometry((2, 3, 4), (2.5, 0.7, 0.7))
    mask = np.zeros(grid.shape, np.uint8)
    mask[0, 1, 2] = 1
    nifti.write(folder / "masks" / "a.nii.gz", mask, grid)
    nifti.write(folder / "masks" / "b.nii.gz", mask, grid)
    info = replace(DatasetInfo("marks", 3, LabelSet.binary("nodule"), (-1000, 400)), annotations_only=True)
    (folder / "dataset.yaml").write_text(yaml.safe_dump(info.to_dict()))
    rows = "".join(f"c,p,,{image},{r},masks/{r}.nii.gz,all,\n" for r in "ab")
    (folder / "cases.csv").write_text(f"{','.join(COLUMNS)}\n{rows}")
    return open_dataset(folder)


def test_annotations_without_images_have_a_grid_and_no_channel(tmp_path):
    dataset = annotations_only(tmp_path / "d")
    (case,) = dataset
    assert not case.has_image and case.image.shape == (0, 2, 3, 4)
    assert case.geometry.spacing == pytest.approx((2.5, 0.7, 0.7))
    assert case.masks["a"].sum() == case.masks["b"].sum() == 1
    with pytest.raises(ProbsegError, match="E_NO_IMAGE"):
        dataset.require_images()
    with pytest.raises(ProbsegError, match="E_NO_IMAGE"):
        dataset.load(replace(dataset.records[0], readings=()))


def test_an_image_may_be_absent_only_where_the_dataset_says_so(tmp_path):
    with pytest.raises(ProbsegError, match="annotations_only"):
        annotations_only(tmp_path / "d", image="x.nii.gz")
    annotations_only(tmp_path / "e")
    text = (tmp_path / "e" / "dataset.yaml").read_text()
    (tmp_path / "e" / "dataset.yaml").write_text(text.replace("annotations_only: true", ""))
    with pytest.raises(ProbsegError, match="without image"):
        open_dataset(tmp_path / "e")
