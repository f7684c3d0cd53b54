"""``probseg import dicom``: an export of several series and the masks of four readers in several formats."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import yaml
from numpy.testing import assert_array_equal

from probseg.case import Geometry
from probseg.cli import main
from probseg.io import nifti
from probseg.manifest import open_dataset

GRID = Geometry((6, 9, 11), (2.0, 0.5, 0.5), (10.0, 20.0, 30.0))
LABELS = {
    "classes": [{"value": 0, "name": "background"}, {"value": 1, "name": "glass"}, {"value": 2, "name": "solid"}],
    "groups": [{"name": "opacity", "classes": ["glass", "solid"], "value": 9}],
    "unknown": 255,
}


@pytest.fixture
def volumes():
    rng = np.random.default_rng(5)
    return {name: rng.integers(-1000, 1000, GRID.shape).astype(np.int16) for name in ("s1/lung", "s1/soft", "s2/lung")}


def drawn(k, value=1):
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1:4, 2 : 4 + k, 3:8] = value
    return mask


def seg_nrrd(path, layers):
    """One layer of 3D Slicer's format; ``layers`` is name to (value, where)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.zeros(GRID.shape, np.uint8)
    told = ""
    for k, (name, (value, where)) in enumerate(layers.items()):
        data[where] = value
        told += f"Segment{k}_ID:=Segment_{k}\nSegment{k}_Name:={name}\nSegment{k}_LabelValue:={value}\n"
        told += f"Segment{k}_Layer:=0\n"
    header = (
        "NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\nsizes: 11 9 6\n"
        "space directions: (0.5,0,0) (0,0.5,0) (0,0,2)\nkinds: domain domain domain\nendian: little\n"
        f"encoding: raw\nspace origin: (10,20,30)\n{told}\n"
    )
    path.write_bytes(header.encode() + data.tobytes())


@pytest.fixture
def export(tmp_path, monkeypatch, write_ct, volumes):
    """Three series of two patients in folders, a localizer, and a note; masks of four readers beside it."""
    monkeypatch.chdir(tmp_path)
    for k, (name, volume) in enumerate(volumes.items()):
        patient = "Canary-" + name.partition("/")[0]
        write_ct(tmp_path / "export" / name, volume, uid=f"1.2.{k}", patient=patient)
    write_ct(tmp_path / "export" / "s1" / "scout", volumes["s1/lung"][:1], uid="1.2.9", patient="Canary-s1")
    (tmp_path / "export" / "README.txt").write_text("CT of Canary")
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(LABELS))
    for case in ("s1_lung", "s2_lung"):
        nifti.write(tmp_path / "masks" / "anna" / f"{case}.nii.gz", drawn(0, 2), GRID)
        seg_nrrd(tmp_path / "masks" / "ben" / f"{case}.seg.nrrd", {"infection": (3, drawn(1) > 0)})
        nifti.write(tmp_path / "masks" / "cleo" / f"{case}_glass.nii.gz", drawn(2), GRID)
        nifti.write(tmp_path / "masks" / "cleo" / f"{case}_solid.nii.gz", drawn(3)[:, ::-1], GRID)
    nifti.write(tmp_path / "masks" / "dan" / "s2_lung.nii.gz", drawn(4, 1)[:, ::-1], GRID)
    return tmp_path


MASKS = (
    "anna=masks/anna/{case}.nii.gz",
    "ben=masks/ben/{case}.seg.nrrd",
    "cleo=masks/cleo/{case}_{class}.nii.gz",
    "dan=masks/dan/{case}.nii.gz",
)
WORDS = ("import", "dicom", "export", "--masks", *MASKS, "--labels", "labels.yaml", "--label", "infection=opacity",
         "--out", "dataset", "--site", "north")  # fmt: skip


def said(capfd, *words):
    """Status, standard output and lines of standard error."""
    capfd.readouterr()
    status = main([str(w) for w in words])
    out, err = capfd.readouterr()
    assert "canary" not in (out + err).lower()
    return status, out, err.splitlines()


def test_one_command(export, volumes, capfd):
    status, out, err = said(capfd, *WORDS, "--skip-unread", "--unread", "s2_lung/anna=0-1;5")
    assert status == 0, err
    assert [line.split(":")[1].strip() for line in err] == ["W_SINGLE_SLICE", "W_NO_LABELS", "W_OVERLAP", "W_OVERLAP"]
    assert out.splitlines() == [
        "wrote dataset: 2 cases of 2 patients, 7 readings of 4 raters",
        "next: probseg check dataset",
    ]
    dataset = open_dataset("dataset")
    assert dataset.info.name == "dataset" and dataset.info.labels.to_dict() == LABELS
    for case, name in zip(dataset, ("s1/lung", "s2/lung"), strict=True):
        assert case.case_id == name.replace("/", "_") and case.site == "north"
        assert_array_equal(case.image, volumes[name])
        values = {rater: dataset.info.labels.decode(mask) for rater, mask in case.masks.items()}
        assert_array_equal(values["anna"], drawn(0, 2))
        assert_array_equal(values["ben"], drawn(1, 9))
        glass, solid = drawn(2), drawn(3)[:, ::-1]
        assert_array_equal(values["cleo"], np.where(solid > 0, 2, glass))
    assert dataset.records[0].patient_id == "patient-0001"
    assert [r.rater for r in dataset.records[0].readings] == ["anna", "ben", "cleo"]
    assert [r.rated for r in dataset.records[1].readings] == ["2-4", "all", "all", "all"]
    copied = sorted((export / "dataset" / "images" / "s1_lung").iterdir())
    assert [p.name for p in copied] == [f"{k:04d}.dcm" for k in range(6)]
    originals = {p.read_bytes() for p in (export / "export" / "s1" / "lung").iterdir()}
    assert {p.read_bytes() for p in copied} == originals
    assert said(capfd, "check", "dataset")[0] == 0


def test_the_series_are_listed_and_chosen(export, capfd):
    status, out, _ = said(capfd, "import", "dicom", "export", "--list")
    assert status == 0
    rows = {line.split()[1]: line.split() for line in out.splitlines()[1:5]}
    assert rows["s1_lung"][2:] == ["6", "9", "x", "11", "2", "x", "0.5", "x", "0.5", "s1/lung"]
    assert "E_TOO_FEW_SLICES" in rows["s1_scout"]
    chosen = [rows["s1_lung"][0], rows["s2_lung"][0]]
    status, _, err = said(capfd, *WORDS, "--series", *chosen)
    assert status == 0 and all("W_OVERLAP" in line for line in err)
    assert len(open_dataset("dataset")) == 2
    status, _, err = said(capfd, *WORDS, "--series", "nosuch", "--overwrite")
    assert status == 2 and "E_SCHEMA" in err[0]


def test_a_broken_series_can_be_left_out(export, capfd):
    sorted((export / "export" / "s1" / "soft").iterdir())[2].unlink()
    status, _, err = said(capfd, *WORDS, "--skip-unread")
    assert status == 2 and len(err) == 1 and "E_SLICE_GAP" in err[0]
    _, out, _ = said(capfd, "import", "dicom", "export", "--list")
    rows = {line.split()[1]: line.split() for line in out.splitlines()[1:5]}
    assert "E_SLICE_GAP" in rows["s1_soft"]
    assert said(capfd, *WORDS, "--series", rows["s1_lung"][0], rows["s2_lung"][0])[0] == 0


def table(path, *rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_table_names_cases_patients_and_sites(export, capfd):
    rename = {"s1_lung": "alpha", "s2_lung": "beta"}
    for path in sorted((export / "masks").rglob("s?_lung*")):
        path.rename(path.with_name(path.name.replace(path.name[:7], rename[path.name[:7]])))
    header = ("file", "case_id", "patient_id", "site", "split")
    rows = [("s2/lung", "beta", "-7", "south", "test"), ("s1/lung", "alpha", "=6", "", "train")]
    table(export / "cases.csv", header, *rows)
    status, _, err = said(capfd, *WORDS, "--cases", "cases.csv")
    assert status == 0, err
    assert "W_NOT_LISTED" in err[1] and "1 of 3" in err[1]
    records = open_dataset("dataset").records
    assert [(r.case_id, r.patient_id, r.site, r.split) for r in records] == [
        ("beta", "-7", "south", "test"),
        ("alpha", "=6", "north", "train"),
    ]


def test_what_was_rated_from_a_table(export, capfd):
    header = ("case_id", "rater", "rated")
    table(export / "rated.csv", header, ("s1_lung", "anna", "0-2"), ("s2_lung", "dan", "none"))
    assert said(capfd, *WORDS, "--skip-unread", "--rated", "rated.csv", "--unread", "s1_lung/anna=1")[0] == 0
    rated = {(r.case_id, x.rater): x.rated for r in open_dataset("dataset").records for x in r.readings}
    assert rated["s1_lung", "anna"] == "0;2"
    assert rated["s2_lung", "dan"] == "none"
    assert rated["s2_lung", "anna"] == "all"


WRONG = {
    "no mask of one series": ("E_NO_LABELS", ()),
    "no masks at all": ("E_FILE_MISSING", ("--masks", "eve=masks/eve/{case}.nii.gz")),
    "no rater": ("E_USAGE", ("--masks", "masks/anna/{case}.nii.gz")),
    "unknown placeholder": ("E_USAGE", ("--masks", "eve=masks/{name}.nii.gz")),
    "two files of one rater": ("E_DUPLICATE_RATER", ("--masks", "eve=masks/anna/s*.nii.gz", "--skip-unread")),
    "unknown label": ("E_UNKNOWN_LABEL", ("--label", "x=fog", "--skip-unread")),
    "label twice": ("E_USAGE", ("--label", "infection=glass", "--skip-unread")),
    "unread of nobody": ("E_UNKNOWN_RATER", ("--unread", "s1_lung/dan=1", "--skip-unread")),
    "unread without slash": ("E_USAGE", ("--unread", "s1_lung=1", "--skip-unread")),
    "unread beyond the end": ("E_SCHEMA", ("--unread", "s1_lung/anna=4-6", "--skip-unread")),
    "table that is not there": ("E_FILE_MISSING", ("--cases", "cases.csv")),
    "labels that are not there": ("E_FILE_MISSING", ("--labels", "no.yaml", "--skip-unread")),
    "list and more": ("E_USAGE", ("--list",)),
}


@pytest.mark.parametrize(("code", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_wish_writes_nothing(export, capfd, code, words):
    status, out, err = said(capfd, *WORDS, *words)
    assert status == 2 and len(err) == 1 and err[0].startswith(f"error: {code}: "), err
    assert not out and not (export / "dataset").exists() and not list(export.glob(".tmp*"))


def test_a_segment_without_a_label_names_the_remedy(export, capfd):
    words = [w for w in WORDS if w not in ("--label", "infection=opacity")]
    status, _, err = said(capfd, *words, "--skip-unread")
    assert status == 2 and len(err) == 1 and "E_UNKNOWN_LABEL" in err[0] and "'infection'" in err[0]
