"""The one writer of datasets: what it writes opens, and a fault leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from probseg.case import Geometry, reorient
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.importing import SourceCase, SourceReading, write_dataset
from probseg.io import nifti
from probseg.labels import LabelClass, LabelSet
from probseg.manifest import open_dataset
from probseg.records import DatasetInfo

LABELS = LabelSet((LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(300, "solid")), unknown=255)
INFO = DatasetInfo("lungs", 3, LABELS, (-1000.0, 400.0))
GRID = Geometry((4, 5, 6), (2.5, 0.5, 0.75), (-10.0, 3.0, 7.5))


def mask(*values):
    out = np.zeros(GRID.shape, np.uint16)
    for k, value in enumerate(values):
        out[1, k, 2] = value
    return out


def case(name="c1", raters=("A", "B"), **changes):
    image = np.random.default_rng(1).integers(-1000, 400, GRID.shape).astype(np.int16)
    readings = tuple(SourceReading(r, mask(5, 300, 255)[:, :, :: (-1) ** k]) for k, r in enumerate(raters))
    return replace(SourceCase(name, f"p-{name}", "north", image, (), GRID, readings), **changes)


def refused(code, out, *cases, info=INFO, **kwargs):
    before = sorted(p.name for p in out.parent.iterdir())
    with pytest.raises(ProbsegError) as caught:
        write_dataset(out, info, cases, **kwargs)
    assert caught.value.code == code, str(caught.value)
    assert sorted(p.name for p in out.parent.iterdir()) == before
    return caught.value.message


def test_what_is_written_is_read_back(tmp_path):
    source = case()
    assert write_dataset(tmp_path / "d", INFO, [source]) == tmp_path / "d"
    dataset = open_dataset(tmp_path / "d")
    assert dataset.info == INFO
    read = next(iter(dataset))
    assert (read.case_id, read.patient_id, read.site) == ("c1", "p-c1", "north")
    assert_array_equal(read.image, source.image)
    for reading in source.readings:
        assert_array_equal(LABELS.decode(read.masks[reading.rater]), reading.mask)
    assert read.geometry.close_to(GRID)
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["cases.csv", "dataset.yaml", "images", "masks"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d"]


def test_an_image_keeps_the_orientation_of_its_source(tmp_path):
    """Stored from superior to inferior: the file has the flipped affine, the case is canonical."""
    _, stored = reorient(np.zeros(GRID.shape), GRID, ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)))
    source = case(stored=stored)
    write_dataset(tmp_path / "d", INFO, [source])
    array, found = nifti.read(tmp_path / "d" / "images" / "c1.nii.gz")
    assert found.close_to(stored)
    assert_array_equal(array, source.image[::-1])
    assert_array_equal(next(iter(open_dataset(tmp_path / "d"))).image, source.image)


def test_files_of_the_source_are_copied_under_names_of_ours(tmp_path):
    (tmp_path / "Canary^Ottilie").mkdir()
    files = []
    for k in range(2):
        files.append(tmp_path / "Canary^Ottilie" / f"OTTILIE{k}")
        files[k].write_bytes(bytes([k, 7]))
    cases = [case(image=None, files=tuple(files)), case("c2", image=None, files=(files[1],))]
    write_dataset(tmp_path / "d", INFO, cases)
    found = sorted(p.relative_to(tmp_path / "d").as_posix() for p in (tmp_path / "d" / "images").rglob("*.dcm"))
    assert found == ["images/c1/0000.dcm", "images/c1/0001.dcm", "images/c2.dcm"]
    assert (tmp_path / "d" / "images" / "c1" / "0001.dcm").read_bytes() == b"\x01\x07"


@pytest.mark.parametrize(
    ("rated", "text"),
    [("3;0-1", "0-1;3"), ("all", "all"), (np.array([1, 0, 0, 1], bool)[:, None, None], "0;3"), ("none", "none")],
)
def test_slices_that_were_rated(tmp_path, rated, text):
    write_dataset(tmp_path / "d", INFO, [case(readings=(SourceReading("A", mask(5), rated),))])
    assert open_dataset(tmp_path / "d").records[0].readings[0].rated == text


def test_parts_of_a_slice_that_were_rated(tmp_path):
    looked = np.ones(GRID.shape, bool)
    looked[2, 1:3] = False
    write_dataset(tmp_path / "d", INFO, [case(readings=(SourceReading("A", mask(5), looked),))])
    dataset = open_dataset(tmp_path / "d")
    assert dataset.records[0].readings[0].rated == "rated/c1/A.nii.gz"
    assert_array_equal(next(iter(dataset)).rated["A"], looked)


def test_names_of_raters_are_free_and_files_are_safe(tmp_path):
    raters = ("Anna", "anna", "<script>/../x", "=1+1", "Žofie Ł", ".hidden", "x" * 300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProbsegWarning)
        write_dataset(tmp_path / "d", INFO, [case(raters=raters)])
        dataset = open_dataset(tmp_path / "d")
    assert dataset.raters == raters
    files = [p.name for p in (tmp_path / "d" / "masks" / "c1").iterdir()]
    assert len({f.casefold() for f in files}) == len(raters)
    assert all(len(f.encode()) < 120 and f[0] not in ".-=" for f in files)
    assert ",'=1+1," in (tmp_path / "d" / "cases.csv").read_text()


def test_notes_are_told(tmp_path):
    readings = (SourceReading("A", mask(5), note="resampled"), SourceReading("B", mask(5)))
    write_dataset(tmp_path / "d", INFO, [case(readings=readings, note="series 2")])
    assert [r.note for r in open_dataset(tmp_path / "d").records[0].readings] == ["series 2; resampled", "series 2"]


@pytest.mark.parametrize(
    ("dtype", "spacing", "thickness", "suffix"),
    [
        (np.uint8, None, None, ".png"),
        (np.uint16, None, None, ".png"),
        (np.int16, (0.5, 0.75), 2.5, ".nii.gz"),
        (np.float32, None, None, ".npz"),
    ],
)
def test_single_images_take_the_file_that_holds_them(tmp_path, dtype, spacing, thickness, suffix):
    geometry = Geometry((5, 6), spacing, slice_thickness_mm=thickness)
    image = np.arange(30).reshape(5, 6).astype(dtype)
    info = replace(INFO, dimensions=2)
    source = case(image=image, geometry=geometry, readings=(SourceReading("A", (image > 7).astype(np.uint8) * 5),))
    write_dataset(tmp_path / "d", info, [source])
    assert (tmp_path / "d" / f"images/c1{suffix}").is_file()
    (read,) = open_dataset(tmp_path / "d")
    assert_array_equal(read.image, image)
    assert_array_equal(LABELS.decode(read.masks["A"]), source.readings[0].mask)
    assert read.geometry.spacing == spacing and read.geometry.slice_thickness_mm == thickness


FAULTS = {
    "no case": ("E_NO_CASES", []),
    "no mask": ("E_NO_LABELS", [case(readings=())]),
    "id twice": ("E_DUPLICATE_CASE", [case(), case()]),
    "id by letter case": ("E_DUPLICATE_CASE", [case(), case("C1")]),
    "id that climbs": ("E_BAD_CASE_ID", [case("..")]),
    "rater twice": ("E_DUPLICATE_RATER", [case(raters=("A", "A"))]),
    "no name": ("E_SCHEMA", [case(raters=("",))]),
    "label": ("E_UNKNOWN_LABEL", [case(readings=(SourceReading("A", mask(7)),))]),
    "shape": ("E_SHAPE_MISMATCH", [case(readings=(SourceReading("A", mask(5)[1:]),))]),
    "image": ("E_SHAPE_MISMATCH", [case(image=np.zeros((4, 5, 7), np.int16))]),
    "no image": ("E_FILE_MISSING", [case(image=None)]),
    "dimensions": ("E_NDIM", [case(geometry=Geometry((5, 6), None))]),
    "slices": ("E_SCHEMA", [case(readings=(SourceReading("A", mask(5), "2-4"),))]),
    "words": ("E_SCHEMA", [case(readings=(SourceReading("A", mask(5), "most"),))]),
    "rated shape": ("E_SHAPE_MISMATCH", [case(readings=(SourceReading("A", mask(5), np.ones((3, 1, 1), bool)),))]),
    "leak": ("E_SPLIT_LEAK", [case(split="train", patient_id="p"), case("c2", split="test", patient_id="p")]),
}


@pytest.mark.parametrize(("code", "cases"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_leaves_nothing_behind(tmp_path, code, cases):
    refused(code, tmp_path / "d", *cases)


def test_an_earlier_dataset_stays_until_the_new_one_is_whole(tmp_path):
    out = tmp_path / "d"
    write_dataset(out, INFO, [case()])
    refused("E_OUTPUT_EXISTS", out, case("c2"))
    refused("E_UNKNOWN_LABEL", out, case("c2"), case("c3", readings=(SourceReading("A", mask(7)),)), overwrite=True)
    assert [r.case_id for r in open_dataset(out).records] == ["c1"]
    write_dataset(out, INFO, [case("c2")], overwrite=True)
    assert [r.case_id for r in open_dataset(out).records] == ["c2"]
    assert sorted(p.name for p in (out / "images").iterdir()) == ["c2.nii.gz"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d"]


def test_nothing_else_is_ever_replaced(tmp_path):
    out = tmp_path / "d"
    out.mkdir()
    (out / "thesis.tex").write_text("")
    refused("E_OUTPUT_EXISTS", out, case(), overwrite=True)
    (tmp_path / "link").symlink_to(out)
    refused("E_OUTPUT_EXISTS", tmp_path / "link", case(), overwrite=True)
    refused("E_OUTPUT_EXISTS", out / "thesis.tex", case(), overwrite=True)


def test_what_a_killed_import_left_is_cleared(tmp_path):
    write_dataset(tmp_path / "d", INFO, [case()])
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()  # a process that is certainly gone

    def killed():
        name = next(tmp_path.glob(".tmp*")).name
        (tmp_path / name.replace(str(os.getpid()), str(process.pid))).mkdir()
        yield case("c2")

    write_dataset(tmp_path / "d", INFO, killed(), overwrite=True)
    assert len(list(tmp_path.glob(".tmp*"))) == 1
    write_dataset(tmp_path / "d", INFO, [case("c3")], overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_mask_that_is_all_foreground_is_told(tmp_path):
    full = np.full(GRID.shape, 5, np.uint8)
    with pytest.warns(ProbsegWarning, match="W_FULL_MASK: the mask of rater 'A' of case 'c1'"):
        write_dataset(tmp_path / "d", INFO, [case(readings=(SourceReading("A", full),))])
