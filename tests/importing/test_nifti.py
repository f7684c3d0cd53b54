"""``probseg import nifti``: files by name, by folder and by pattern; masks on other grids; defaults that are told."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from numpy.testing import assert_array_equal

from probseg.case import Geometry
from probseg.cli import main
from probseg.io import nifti
from probseg.manifest import open_dataset

GRID = Geometry((4, 6, 8), (2.0, 0.5, 0.75), (-10.0, 5.0, 30.0))


def image(seed):
    return np.random.default_rng(seed).integers(-1000, 1000, GRID.shape).astype(np.int16)


def mask(k, value=1):
    made = np.zeros(GRID.shape, np.uint8)
    made[1:3, 1:4, k : k + 3] = value
    return made


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for k, case in enumerate(("c1", "c2")):
        nifti.write(f"ct/{case}.nii.gz", image(k), GRID)
        for rater in ("anna", "ben"):
            nifti.write(f"masks/{rater}/{case}.nii.gz", mask(k + (rater == "ben")), GRID)
    return tmp_path


def said(capfd, *words):
    capfd.readouterr()
    status = main(["import", "nifti", *[str(w) for w in words]])
    out, err = capfd.readouterr()
    return status, out, err.splitlines()


def refused(capfd, code, *words):
    status, out, err = said(capfd, *words, "--out", "d")
    assert (status, out, len(err)) == (2, "", 1), err
    assert err[0].startswith(f"error: {code}: "), err
    return err[0]


def test_raters_are_found_by_the_pattern(files, capfd):
    status, out, err = said(capfd, "ct", "--masks", "masks/{rater}/{case}.nii.gz", "--out", "d")
    assert (status, err) == (0, [])
    assert out.splitlines() == ["wrote d: 2 cases of 2 patients, 4 readings of 2 raters", "next: probseg check d"]
    dataset = open_dataset("d")
    assert dataset.info.labels.names == ("background", "foreground")
    assert dataset.info.stable_raters
    for k, case in enumerate(dataset):
        assert (case.case_id, case.patient_id) == (f"c{k + 1}", f"c{k + 1}")
        assert_array_equal(case.image, image(k))
        assert_array_equal(case.masks["anna"], mask(k))
        assert_array_equal(case.masks["ben"], mask(k + 1))


def test_images_by_a_pattern_say_case_patient_and_site(files, capfd):
    for k, (site, patient, case) in enumerate((("n", "p1", "a"), ("n", "p1", "b"), ("s", "p2", "c"))):
        nifti.write(f"tree/{site}/{patient}/{case}/ct.nii.gz", image(k), GRID)
        nifti.write(f"tree/{site}/{patient}/{case}/anna.nii", mask(k), GRID)
    status, _, err = said(
        capfd, "tree/{site}/{patient}/{case}/ct.nii.gz", "--masks", "anna=tree/*/{patient}/{case}/anna.nii",
        "--out", "d", "--name", "tree", "--changing-raters", "--window", "-900", "100",
    )  # fmt: skip
    assert (status, err) == (0, [])
    dataset = open_dataset("d")
    assert [(r.site, r.patient_id, r.case_id) for r in dataset.records] == [
        ("n", "p1", "a"),
        ("n", "p1", "b"),
        ("s", "p2", "c"),
    ]
    assert dataset.info.name == "tree" and not dataset.info.stable_raters and dataset.info.window == (-900.0, 100.0)


def test_names_that_repeat_take_their_folders(files, capfd):
    for case in ("one", "two"):
        nifti.write(f"deep/{case}/ct_0000.nii.gz", image(3), GRID)
        nifti.write(f"deep/{case}.nii.gz", mask(1), GRID)
    status, _, err = said(
        capfd, "deep/one/ct_0000.nii.gz", "deep/two/ct_0000.nii.gz", "--masks", "a=deep/{case}.nii.gz", "--out", "d"
    )
    assert (status, err) == (0, [])
    assert [r.case_id for r in open_dataset("d").records] == ["one", "two"]


def test_values_get_other_names(files, capfd):
    (files / "labels.yaml").write_text("background: 0\nglass: 1\nsolid: 2\n")
    nifti.write("masks/anna/c1.nii.gz", mask(0, 7) + mask(3, 1), GRID)
    words = ("ct/c1.nii.gz", "--masks", "anna=masks/anna/{case}.nii.gz", "--labels", "labels.yaml")
    assert "7 (" in refused(capfd, "E_UNKNOWN_LABEL", *words)
    status, _, err = said(capfd, *words, "--label", "7=solid", "--out", "d")
    assert status == 0 and "W_UNUSED_MASK: 1 files" in err[0]
    dataset = open_dataset("d")
    assert dataset.info.labels.names == ("background", "glass", "solid")
    assert_array_equal(next(iter(dataset)).masks["anna"], mask(0, 2) + mask(3, 1))


def test_one_file_a_class_without_a_label_set(files, capfd):
    status, _, err = said(
        capfd, "ct/c1.nii.gz", "--masks", "anna:glass=masks/anna/c1.nii.gz", "anna:solid=masks/ben/c1.nii.gz",
        "ben:solid=masks/ben/{case}.nii.gz", "--out", "d",
    )  # fmt: skip
    assert status == 0 and any("W_OVERLAP" in line for line in err)
    case = next(iter(open_dataset("d")))
    assert open_dataset("d").info.labels.names == ("background", "glass", "solid")
    assert_array_equal(case.masks["anna"], np.where(mask(1) > 0, 2, mask(0)))
    assert_array_equal(case.masks["ben"], mask(1, 2))


def test_another_grid_is_refused_or_resampled_and_told(files, capfd):
    coarse = Geometry((4, 3, 8), (2.0, 1.0, 0.75), (-10.0, 5.25, 30.0))
    nifti.write("masks/anna/c1.nii.gz", mask(0)[:, 1::2], coarse)
    words = ("ct/c1.nii.gz", "--masks", "anna=masks/anna/c1.nii.gz")
    assert "--resample" in refused(capfd, "E_SHAPE_MISMATCH", *words)
    status, _, err = said(capfd, *words, "--resample", "--out", "d")
    assert (status, err) == (0, [])
    dataset = open_dataset("d")
    assert dataset.records[0].readings[0].note == "resampled from (4, 3, 8) voxels of 2 x 1 x 0.75 mm"
    assert_array_equal(next(iter(dataset)).masks["anna"], np.repeat(mask(0)[:, 1::2], 2, axis=1))
    far = Geometry(GRID.shape, GRID.spacing, (500.0, 5.0, 30.0))
    nifti.write("masks/anna/c1.nii.gz", mask(0), far)
    refused(capfd, "E_AFFINE_MISMATCH", *words, "--resample", "--overwrite")


def test_pictures_are_images_of_two_dimensions(tmp_path, monkeypatch, capfd):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for name in ("img", "anna", "ben"):
        (tmp_path / name).mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (7, 9), dtype=np.uint8)
    drawn = (picture > 100).astype(np.uint8)
    Image.fromarray(picture).save("img/x.png")
    Image.fromarray(drawn).save("anna/x.png")
    Image.fromarray(1 - drawn).save("ben/x.png")
    words = ("img", "--masks", "anna=anna/{case}.png", "ben=ben/{case}.png", "--window", "0", "255", "--out", "d")
    status, _, err = said(capfd, *words)
    assert (status, err) == (0, [])
    dataset = open_dataset("d")
    case = next(iter(dataset))
    assert dataset.info.dimensions == 2
    assert_array_equal(case.image, picture)
    assert_array_equal(case.masks["ben"], 1 - drawn)


WRONG = {
    "nothing there": ("E_FILE_MISSING", ("nope.nii.gz", "--masks", "a=masks/anna/{case}.nii.gz")),
    "an empty folder": ("E_NO_CASES", ("masks/none", "--masks", "a=masks/anna/{case}.nii.gz")),
    "a pattern of nothing": ("E_FILE_MISSING", ("x/{case}.nii", "--masks", "a=masks/anna/{case}.nii.gz")),
    "an unknown placeholder": ("E_USAGE", ("ct/{scan}.nii", "--masks", "a=masks/anna/{case}.nii.gz")),
    "no masks": ("E_USAGE", ("ct",)),
    "an undeclared class": ("E_UNKNOWN_LABEL", ("ct", "--labels", "l.yaml", "--masks", "a:fog=masks/anna/{case}.*")),
    "labels that are a list": ("E_SCHEMA", ("ct", "--labels", "list.yaml", "--masks", "a=masks/anna/{case}.nii.gz")),
    "the image as its mask": ("E_UNKNOWN_LABEL", ("ct", "--masks", "a=ct/{case}.nii.gz")),
    "an image twice": ("E_DUPLICATE_CASE", ("ct/c1.nii.gz", "ct/c1.nii.gz", "--masks", "a=masks/anna/{case}.nii.gz")),
    "an out that is taken": ("E_OUTPUT_EXISTS", ("ct", "--masks", "a=masks/anna/{case}.nii.gz", "--out", "masks")),
}  # fmt: skip


@pytest.mark.parametrize(("code", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_wish_writes_nothing(files, capfd, code, words):
    (files / "l.yaml").write_text(yaml.safe_dump({"background": 0, "glass": 1}))
    (files / "list.yaml").write_text("- 1\n")
    (files / "masks" / "none").mkdir()
    out = () if "--out" in words else ("--out", "d")
    status, _, err = said(capfd, *words, *out)
    assert status == 2 and len(err) == 1 and err[0].startswith(f"error: {code}: "), err
    assert not (files / "d").exists() and not list(files.glob(".tmp*"))
