"""Which scans can become DICOM objects, and what their segments are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from probseg.case import Case, Source
from probseg.data.synthetic import LABELS, generate, write
from probseg.errors import ProbsegError, ProbsegWarning
from probseg.inference.dicom_outputs import require_series, segment_labels
from probseg.io import read_image
from probseg.labels import LabelClass, LabelSet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = write(generate(1, seed=4, shape=(2, 32, 32)), tmp_path / "ct", with_truth=False, shares=(0, 0, 0, 1))
    return next((root / "images").iterdir())


def read(folder: Path) -> Case:
    image, geometry, stored = read_image(folder)
    return Case("scan", "scan", "", image, {}, geometry, source=Source(folder, stored))


def test_a_series_will_do(folder: Path) -> None:
    require_series(read(folder), LABELS)


def test_a_series_that_changed_since_it_was_read_will_not(folder: Path) -> None:
    case = read(folder)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.ImagePositionPatient[0] += 20
        data.save_as(path)
    with pytest.raises(ProbsegError, match=r"E_AFFINE_MISMATCH.*'scan'"):
        require_series(case, LABELS)


def test_a_scan_without_frame_of_reference_is_told(folder: Path) -> None:
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        del data.FrameOfReferenceUID
        data.save_as(path)
    with pytest.warns(ProbsegWarning, match="W_NO_FRAME_OF_REFERENCE"):
        require_series(read(folder), LABELS)


def test_a_case_from_elsewhere_is_refused(folder: Path) -> None:
    case = replace(read(folder), source=Source(folder / "scan.nii.gz"))
    with pytest.raises(ProbsegError, match=r"E_NO_DICOM.*'scan'.*--format nifti"):
        require_series(case, LABELS)


def test_a_code_that_is_none_is_found_before_anything_is_predicted(folder: Path) -> None:
    labels = LabelSet((LabelClass(0, "background"), LabelClass(1, "glass", code="glass")))
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*'glass'.*scheme:value:meaning"):
        require_series(read(folder), labels)


def test_segments_without_code_and_colour() -> None:
    """The lung and its opacity lie side by side; nothing is said of the heart."""
    names = ("background", "lung", "opacity", "heart")
    labels = LabelSet(tuple(LabelClass(k, name) for k, name in enumerate(names)))
    found = [(s.name, s.category.meaning, s.kind.meaning) for s in segment_labels(labels)]
    assert found == [
        ("lung", "Anatomical Structure", "Lung"),
        ("opacity", "Morphologically Abnormal Structure", "Lesion"),
        ("heart", "Morphologically Abnormal Structure", "Lesion"),
    ]
    assert len({s.colour for s in segment_labels(labels)}) == 3
    assert [s.colour for s in segment_labels(LABELS)] == [c.colour for c in LABELS.classes[1:]]
