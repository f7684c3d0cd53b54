"""What the file system may hold in place of a file."""

from __future__ import annotations

import os

import numpy as np
import pytest

from probseg.case import Geometry
from probseg.io import nifti
from probseg.manifest import open_dataset

GRID = Geometry((3, 4, 5), (2.5, 0.5, 0.75))


@pytest.fixture
def image(tmp_path):
    nifti.write(tmp_path / "ct.nii.gz", np.arange(60).reshape(GRID.shape).astype(np.int16), GRID)
    return tmp_path / "ct.nii.gz"


def link(path, target):
    path.symlink_to(target)
    return path


def pipe(path):
    os.mkfifo(path)
    return path


def folder(path):
    path.mkdir()
    return path


def loop(root):
    link(root / "b.nii.gz", root / "a.nii.gz")
    return link(root / "a.nii.gz", root / "b.nii.gz")


WRONG = {
    "a folder named as an image": ("E_IS_DIRECTORY", lambda r: folder(r / "image.nii.gz")),
    "a folder named as a config": ("E_IS_DIRECTORY", lambda r: folder(r / "config.yaml")),
    "a loop of links": ("E_FILE_MISSING", loop),
    "a link to nothing": ("E_FILE_MISSING", lambda r: link(r / "a.nii.gz", r / "gone.nii.gz")),
    "a link to an endless device": ("E_NOT_REGULAR", lambda r: link(r / "a.nii.gz", "/dev/zero")),
    "a link to a device as a config": ("E_NOT_REGULAR", lambda r: link(r / "a.yaml", "/dev/zero")),
    "a link to a device as weights": ("E_NOT_REGULAR", lambda r: link(r / "a.ckpt", "/dev/zero")),
    "a link to a device as a stack": ("E_NOT_REGULAR", lambda r: link(r / "a.npz", "/dev/zero")),
    "a link to a device without suffix": ("E_NOT_REGULAR", lambda r: link(r / "a", "/dev/zero")),
    "a pipe": ("E_NOT_REGULAR", lambda r: pipe(r / "a.nii.gz")),
    "a pipe as a config": ("E_NOT_REGULAR", lambda r: pipe(r / "a.yaml")),
    "nothing": ("E_FILE_MISSING", lambda r: r / "nope.nii.gz"),
    "nothing below a file": ("E_FILE_MISSING", lambda r: r / "ct.nii.gz" / "nope.nii.gz"),
    "a name that is too long": ("E_FILE_MISSING", lambda r: r / ("x" * 300)),
    "an empty folder": ("E_NO_DICOM", lambda r: folder(r / "empty")),
}


@pytest.mark.parametrize(("code", "make"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_file(tmp_path, image, expect, code, make):
    expect(make(tmp_path), code)


@pytest.mark.parametrize("name", ["a b\nc", "d" * 200, "ünï", "-x"])
def test_folders_of_any_name(tmp_path, image, expect, run, name):
    (tmp_path / name).mkdir()
    moved = image.rename(tmp_path / name / "CT.NII.GZ")
    assert expect(moved, "ok").facts["shape"] == [3, 4, 5]
    assert run("check", moved).error is None


def test_a_series_in_a_folder_with_a_line_break(tmp_path, write_series, hu, expect):
    write_series(tmp_path / "a\nb c", hu)
    expect(tmp_path / "a\nb c", "ok")
    (tmp_path / "a\nb c" / "slice003.dcm").unlink()
    expect(tmp_path / "a\nb c", "E_SLICE_GAP")


@pytest.fixture
def sources(tmp_path, image):
    (tmp_path / "masks").mkdir()
    for rater in "ab":
        nifti.write(
            tmp_path / "masks" / f"{rater}.nii.gz", (np.arange(60).reshape(GRID.shape) > 7).astype(np.uint8), GRID
        )
    return ("import", "nifti", image, "--masks", f"{tmp_path}/masks/{{rater}}.nii.gz")


def test_a_result_where_a_link_was_planted(tmp_path, sources, run):
    (tmp_path / "victim").mkdir()
    link(tmp_path / "out", tmp_path / "victim")
    assert run(*sources, "--out", tmp_path / "out", "--overwrite").error == "E_OUTPUT_EXISTS"
    assert not list((tmp_path / "victim").iterdir())


def test_what_a_killed_import_left_is_not_taken_for_a_dataset(tmp_path, sources, run, expect):
    """Images and masks but no tables, and a temporary folder of a process that is gone."""
    (tmp_path / "out" / "images").mkdir(parents=True)
    (tmp_path / "out" / "images" / "ct.nii.gz").write_bytes(b"half")
    expect(tmp_path / "out", "E_NO_DICOM")
    assert run(*sources, "--out", tmp_path / "out").error == "E_OUTPUT_EXISTS"
    assert run(*sources, "--out", tmp_path / "out", "--overwrite").error is None
    assert [r.case_id for r in open_dataset(tmp_path / "out").records] == ["ct"]
    assert not list(tmp_path.glob(".tmp*"))
