"""XML and DICOM as The Cancer Imaging Archive gives them."""

from __future__ import annotations

import numpy as np
import pytest

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.manifest import open_dataset

RING = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 3), (2, 3), (3, 3), (3, 2), (3, 1), (3, 0), (2, 0), (1, 0), (0, 0)]
DOT = [(0, 0)]


def roi(uid, row, column, shape=RING, inclusion="TRUE"):
    points = "".join(f"<edgeMap><xCoord>{column + c}</xCoord><yCoord>{row + r}</yCoord></edgeMap>" for r, c in shape)
    place = f"<imageZposition>0</imageZposition><imageSOP_UID>{uid}</imageSOP_UID>"
    return f"<roi>{place}<inclusion>{inclusion}</inclusion>{points}</roi>"


def message(uid, *sessions):
    body = ""
    for nodules in sessions:
        drawn = "".join(f"<unblindedReadNodule><noduleID>N</noduleID>{n}</unblindedReadNodule>" for n in nodules)
        body += f"<readingSession><servicingRadiologistID>anon</servicingRadiologistID>{drawn}</readingSession>"
    header = f"<ResponseHeader><SeriesInstanceUid>{uid}</SeriesInstanceUid></ResponseHeader>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?><LidcReadMessage uid="1" xmlns="http://www.nih.gov">'
        f"{header}{body}</LidcReadMessage>"
    )


@pytest.fixture
def volume():
    return np.random.default_rng(3).integers(-1000, 400, (6, 24, 28)).astype(np.int16)


@pytest.mark.parametrize("flipped", [False, True])
def test_images_and_masks_of_a_nodule(tmp_path, write_ct, run_import, volume, flipped):
    root = tmp_path / "LIDC-IDRI" / "LIDC-IDRI-0001" / "study" / "series"
    uids = write_ct(root, volume, patient="LIDC-IDRI-0001", flipped=flipped)
    first = roi(uids[2], 6, 8) + roi(uids[3], 6, 8)
    second = roi(uids[2], 6, 8) + roi(uids[2], 7, 9, [(0, 0), (0, 1), (1, 1), (1, 0)], "FALSE")
    (root / "069.xml").write_text(message("1.2.3", [first], [second, roi(uids[0], 1, 1, DOT)], []))
    (root / "other.xml").write_text("<IdriReadMessage/>")
    run_import("lidc", "--folder", tmp_path / "LIDC-IDRI", "--out", tmp_path / "d", "--margin-mm", 1)
    dataset = open_dataset(tmp_path / "d")
    (case,) = dataset
    assert case.case_id == "LIDC-IDRI-0001-n1" and case.patient_id == "LIDC-IDRI-0001"
    # slices 2..3, rows 6..9, columns 8..11 with one slice of 2 mm and two pixels of 0.5 mm round them
    expected_image, mask = volume[1:5, 4:12, 6:14], np.zeros((4, 8, 8), np.uint8)
    mask[1:3, 3:5, 3:5] = 1
    if flipped:
        expected_image, mask = expected_image[:, ::-1, ::-1], mask[:, ::-1, ::-1]
    assert np.array_equal(case.image, expected_image)
    by_size = sorted(case.masks.values(), key=lambda m: int(m.sum()))
    assert np.array_equal(by_size[1], mask)
    assert int(by_size[0].sum()) == 4
    corner = (10.0 - 13 * 0.5, 20.0 - 11 * 0.5, 32.0) if flipped else (10.0 + 6 * 0.5, 20.0 + 4 * 0.5, 32.0)
    assert case.geometry.origin == pytest.approx(corner)


def test_whole_scans(tmp_path, write_ct, run_import, volume):
    root = tmp_path / "ct"
    uids = write_ct(root, volume, patient="LIDC-IDRI-0002", flipped=True)
    first = [roi(uids[2], 6, 8) + roi(uids[3], 6, 8), roi(uids[5], 15, 20)]
    (root / "1.xml").write_text(message("1.2.3", first, [roi(uids[2], 6, 8)], [], [roi(uids[0], 1, 1, DOT)]))
    run_import("lidc", "--folder", root, "--out", tmp_path / "d", "--whole-scans")
    (case,) = open_dataset(tmp_path / "d")
    assert case.case_id == "LIDC-IDRI-0002"
    assert np.array_equal(case.image, volume[:, ::-1, ::-1])
    sizes = sorted(int(m.sum()) for m in case.masks.values())
    assert sizes == [0, 0, 4, 12]  # a radiologist who drew nothing, or a point only, has read the scan
    drawn = np.zeros(volume.shape, int)
    drawn[2:4, 7:9, 9:11] = drawn[5, 16:18, 21:23] = 1
    largest = max(case.masks.values(), key=lambda m: int(m.sum()))
    assert np.array_equal(largest, drawn[:, ::-1, ::-1])


def test_xml_elsewhere_and_without_its_scan(tmp_path, write_ct, run_import, volume):
    uids = write_ct(tmp_path / "ct" / "a", volume)
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "1.xml").write_text(message("1.2.3", [roi(uids[2], 6, 8)]))
    (tmp_path / "xml" / "2.xml").write_text(message("9.9.9", [roi("9.9.9.1", 6, 8)]))
    with pytest.warns(ProbsegWarning, match="W_NO_SERIES: 1 XML"):
        run_import("lidc", "--folder", tmp_path / "ct", "--xml", tmp_path / "xml", "--out", tmp_path / "d")
    (record,) = open_dataset(tmp_path / "d").records
    assert record.case_id.startswith("scan-") and "P1" not in record.patient_id  # PatientID is not the archive's


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (message("1.2.3", [roi("1.2.3.77", 6, 8)]), "E_NO_SLICE"),
        (message("1.2.3", [roi("1.2.3.2", 6, 8)])[:-40], "E_PARSE"),
        (message("1.2.3", [roi("1.2.3.2", 6, 8).replace("<xCoord>8<", "<xCoord>8.5<")]), "E_PARSE"),
        (message("1.2.3", [roi("1.2.3.2", 6, 8).replace("inclusion", "included")]), "E_PARSE"),
        (message("1.2.3", [""]).replace("SeriesInstanceUid", "Uid"), "E_PARSE"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]>' + message("1.2.3", [""]), "E_PARSE"),
        (message("9.9.9", [""]), "E_NO_CASES"),
    ],
)
def test_faults(tmp_path, write_ct, run_import, volume, text, code):
    write_ct(tmp_path / "ct", volume)
    (tmp_path / "ct" / "a.xml").write_text(text)
    with pytest.raises(ProbsegError) as caught:
        run_import("lidc", "--folder", tmp_path / "ct", "--out", tmp_path / "d")
    assert caught.value.code == code
    assert not (tmp_path / "d").exists()
