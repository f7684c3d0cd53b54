"""What is written comes back through the real readers, bit for bit."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from probseg.case import Case, Geometry
from probseg.data.synthetic import INFO, LABELS, RaterModel, default_raters, generate, write
from probseg.data.synthetic.write import _slices_read, split_patients
from probseg.errors import ProbsegError
from probseg.io import nifti
from probseg.manifest import open_dataset

SHAPE = (7, 48, 64)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    cases = list(generate(5, seed=9, raters=default_raters(3), shape=SHAPE))
    write(iter(cases), folder, seed=1)
    return cases, folder


def test_cases_come_back_bit_for_bit(written):
    cases, folder = written
    dataset = open_dataset(folder)
    assert dataset.info == INFO
    assert len(dataset) == 5
    partly = 0
    for made, read in zip(cases, dataset, strict=True):
        case = made.case
        assert (read.case_id, read.patient_id, read.site) == (case.case_id, case.patient_id, case.site)
        assert read.image.dtype == case.image.dtype and np.array_equal(read.image, case.image)
        assert read.geometry == case.geometry
        assert list(read.masks) == list(case.masks)
        assert set(read.rated) == set(case.rated)
        for rater in case.masks:
            assert np.array_equal(read.masks[rater], case.masks[rater])
            assert np.array_equal(read.rated_by(rater), case.rated_by(rater))
            partly += not read.rated_by(rater).all()
    assert partly  # some slices were left unread, so that this was put to the test


def test_truth_lies_beside_and_not_in_the_manifest(written):
    cases, folder = written
    values, _ = nifti.read(folder / "truth" / "case-0002.nii.gz")
    assert np.array_equal(values, LABELS.decode(cases[2].truth))
    with np.load(folder / "truth" / "case-0002.npz") as archive:
        assert np.array_equal(archive["distribution"], cases[2].distribution)
    assert "truth" not in (folder / "cases.csv").read_text()


def test_slices_are_valid_ct_images(written):
    cases, folder = written
    series = [pydicom.dcmread(p) for p in sorted((folder / "images" / "case-0000").iterdir())]
    assert len(series) == SHAPE[0]
    assert len({ds.SOPInstanceUID for ds in series}) == SHAPE[0]
    assert len({(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID) for ds in series}) == 1
    for k, ds in enumerate(series):
        assert ds.SOPClassUID == pydicom.uid.CTImageStorage == ds.file_meta.MediaStorageSOPClassUID
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert ds.SOPInstanceUID.is_valid and ds.SOPInstanceUID.startswith("2.25.")
        assert (ds.RescaleIntercept, ds.RescaleSlope, ds.BitsStored, ds.InstanceNumber) == (-1024, 1, 16, k + 1)
        hu = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        assert np.array_equal(hu, cases[0].case.image[k])


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write(generate(1, seed=2, shape=(3, 32, 32)), tmp_path / name)
    write(generate(1, seed=3, shape=(3, 32, 32)), tmp_path / "c")
    names = [p.relative_to(tmp_path / "a") for p in sorted((tmp_path / "a").rglob("*")) if p.is_file()]
    assert len(names) == 3 + 4 + 2 + 2
    for name in (n for n in names if n.suffix != ".npz"):  # a zip file holds the time
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    first, other = (pydicom.dcmread(tmp_path / n / "images/case-0000/0000.dcm") for n in ("a", "c"))
    assert first.StudyInstanceUID != other.StudyInstanceUID


@pytest.mark.parametrize(
    ("patients", "counts"), [(24, [15, 2, 2, 5]), (4, [1, 1, 1, 1]), (100, [60, 10, 10, 20]), (1, [1, 0, 0, 0])]
)
def test_splits_hold_their_shares(patients, counts):
    names = [f"p{k}" for k in range(patients)]
    splits = split_patients(names, seed=0)
    held = list(splits.values())
    assert [held.count(s) for s in ("train", "validation", "calibration", "test")] == counts
    assert splits == split_patients([*reversed(names), *names], seed=0)  # neither order nor repetition matters
    if patients == 100:
        assert splits != split_patients(names, seed=1)


def test_shares_must_sum_to_one():
    with pytest.raises(ProbsegError, match="E_USAGE"):
        split_patients(["a"], 0, (0.5, 0.1, 0.1, 0.1))


@pytest.mark.parametrize(
    ("read", "text"),
    [
        ([0, 1, 2, 5], "0-2;5"),
        ([6], "6"),
        ([], "none"),
        ([0, 2, 4, 5, 6], "0;2;4-6"),
    ],
)
def test_unread_slices_become_ranges(read, text):
    rated = np.zeros((7, 1, 1), dtype=bool)
    rated[read] = True
    image, mask = np.zeros(SHAPE, np.int16), np.zeros(SHAPE, np.uint8)
    case = Case("c", "p", "s", image, {"r": mask, "t": mask}, Geometry(SHAPE, (1.0, 1.0, 1.0)), {"r": rated})
    assert _slices_read(case, "r") == text
    assert _slices_read(case, "t") == "all"


def test_only_an_earlier_dataset_is_replaced(tmp_path):
    def one():
        return generate(1, raters=[RaterModel("r")], shape=(3, 32, 32))

    write(generate(2, raters=[RaterModel("r")], shape=(3, 32, 32)), tmp_path / "d")
    with pytest.raises(ProbsegError, match="E_OUTPUT_EXISTS"):
        write(one(), tmp_path / "d")
    write(one(), tmp_path / "d", overwrite=True, with_truth=False)
    assert len(open_dataset(tmp_path / "d")) == 1
    assert not (tmp_path / "d" / "truth").exists() and not (tmp_path / "d" / "images" / "case-0001").exists()
    (tmp_path / "d" / "thesis.txt").write_text("dear")
    with pytest.raises(ProbsegError, match=r"E_OUTPUT_EXISTS.*thesis\.txt"):
        write(one(), tmp_path / "d", overwrite=True)
    assert (tmp_path / "d" / "dataset.yaml").exists()
    with pytest.raises(ProbsegError, match="E_NO_CASES"):
        write(iter([]), tmp_path / "e")
