"""What is taken from the headers of a series, and which series are refused."""

from __future__ import annotations

import warnings

import pydicom
import pytest

from probseg.errors import ProbsegError
from probseg.io.dicom_objects import read_source
from probseg.io.dicom_objects.concepts import parse_code


def test_patient_and_study_are_copied_and_little_else(made):
    paths = sorted(made.path.iterdir()) if made.path.is_dir() else [made.path]
    head = pydicom.dcmread(paths[0], stop_before_pixels=True)
    for name in made.files:
        data = pydicom.dcmread(made.files[name])
        for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyID"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom, of the escape sequence in a careless name
                found, wanted = str(data[keyword].value), str(head.get(keyword, ""))
            assert found == wanted.replace("\x1b", " "), (name, keyword)
        assert data.StudyInstanceUID == head.StudyInstanceUID
        assert data.SpecificCharacterSet == "ISO_IR 192"
        for keyword in ("KVP", "InstitutionName", "StationName", "OperatorsName", "DeviceUID"):
            assert keyword not in data, (name, keyword)


def test_values_that_are_not_what_their_kind_demands_are_left_empty(tmp_path, write_series, hu):
    def edit(d, k):
        d.PatientSex, d.PatientAge, d.PatientBirthDate = "O", "050Y", "19700101"
        d.StudyDate, d.StudyTime, d.SeriesNumber = "20240131", "101112.5", 4
        d.BodyPartExamined, d.StudyDescription = "CHEST", "CT thorax"

    write_series(tmp_path / "good", hu, edit=edit)
    good = read_source(tmp_path / "good")
    assert (good.body_part, good.number, good.written) == ("CHEST", 4, ("20240131", "101112.5"))
    assert (good.header.PatientAge, good.header.StudyDescription) == ("050Y", "CT thorax")

    def spoil(d, k):
        edit(d, k)
        for keyword, value in (
            ("PatientSex", "f"),
            ("PatientAge", "50"),
            ("StudyDate", "31.1."),
            ("StudyTime", "late"),
        ):
            d[keyword].validation_mode = pydicom.config.IGNORE
            d[keyword].value = value

    write_series(tmp_path / "bad", hu, edit=spoil)
    bad = read_source(tmp_path / "bad")
    assert (bad.header.PatientSex, bad.header.StudyDate, bad.header.StudyTime) == ("", "", "")
    assert "PatientAge" not in bad.header and bad.header.PatientBirthDate == "19700101"
    assert bad.written == ("19000101", "000000")  # a date must stand there, and none is known


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"])
def test_a_series_that_nothing_can_refer_to_is_refused(tmp_path, write_series, hu, keyword):
    def edit(d, k):
        if k == 2:
            delattr(d, keyword)

    write_series(tmp_path / "s", hu, edit=edit)
    with pytest.raises(ProbsegError) as caught:
        read_source(tmp_path / "s")
    # one slice without its frame of reference is no part of the volume, whoever reads it
    assert caught.value.code == ("E_MIXED_GEOMETRY" if keyword == "FrameOfReferenceUID" else "E_DICOM_CORRUPT")
    assert "Canary" not in caught.value.message


def test_images_without_a_frame_of_reference_get_one_that_is_always_the_same(tmp_path, write_series, hu):
    write_series(tmp_path / "s", hu, edit=lambda d, k: delattr(d, "FrameOfReferenceUID"))
    first, second = read_source(tmp_path / "s"), read_source(tmp_path / "s")
    assert not first.framed and first.header.FrameOfReferenceUID.startswith("2.25.")
    assert first.header.FrameOfReferenceUID == second.header.FrameOfReferenceUID


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd", "scan.png", None])
def test_an_image_of_no_patient_is_refused(tmp_path, name):
    with pytest.raises(ProbsegError, match="--format nifti") as caught:
        read_source(None if name is None else tmp_path / name)
    assert caught.value.code == "E_NO_DICOM"


@pytest.mark.parametrize(
    "text", ["", "SCT", "SCT:1", "SCT::Lung", "SCT:1:" + "m" * 65, "S" * 17 + ":1:Lung", "SCT:1\\2:a"]
)
def test_a_code_that_is_none_is_refused(text):
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*'lung'"):
        parse_code(text, "lung")


def test_the_meaning_of_a_code_may_hold_colons():
    code = parse_code("99X: 7 :a: b", "x")
    assert (code.scheme_designator, code.value, code.meaning) == ("99X", "7", "a: b")
