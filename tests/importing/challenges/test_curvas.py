"""CURVAS in the layout of its release: splits, labels, and the one mask whose header is wrong."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.io.digest import file_sha256
from probseg.manifest import open_dataset

AFFINE = np.diag([-0.8, -0.8, 2.0, 1.0])
SHAPE = (5, 6, 4)  # columns, rows, slices of a file


def save(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


@pytest.fixture
def release(tmp_path):
    """Two training patients and one of the test, whose second mask has another origin."""
    root, rng = tmp_path / "release", np.random.default_rng(0)
    for name in ("training_set/UKCHLL000", "training_set/UKCHLL001", "testing_set/UKCHLL007"):
        save(root / name / "image.nii.gz", rng.integers(-200, 300, SHAPE).astype(np.int16))
        for number in (1, 2, 3):
            save(root / name / f"annotation_{number}.nii.gz", rng.integers(0, 4, SHAPE).astype(np.uint8))
    moved = AFFINE.copy()
    moved[:3, 3] = 7
    odd = root / "testing_set/UKCHLL007/annotation_2.nii.gz"
    save(odd, nib.load(odd).get_fdata().astype(np.uint8), moved)
    return root


def test_a_release_becomes_a_dataset(release, tmp_path, run_import, capsys):
    run_import("challenges.curvas", release, "--out", tmp_path / "d", "--index-grid", "UKCHLL007/2")
    said = capsys.readouterr().out
    assert "value 1 pancreas: in 9 of 9 masks" in said and "3 cases of 3 patients, 9 readings of 3 raters" in said
    dataset = open_dataset(tmp_path / "d")
    assert {r.case_id: r.split for r in dataset.records} == {
        "UKCHLL000": "train",
        "UKCHLL001": "train",
        "UKCHLL007": "test",
    }
    assert dataset.info.labels.names == ("background", "pancreas", "kidney", "liver")
    assert dataset.info.stable_raters and dataset.info.window == (-160.0, 240.0)
    for record in dataset.records:
        assert file_sha256(tmp_path / "d" / record.image) == file_sha256(
            next(release.glob(f"*/{record.case_id}/image.nii.gz"))
        )
        case = dataset.load(record)
        for number in (1, 2, 3):
            given = nib.load(next(release.glob(f"*/{record.case_id}/annotation_{number}.nii.gz"))).get_fdata()
            assert_array_equal(case.masks[f"rater-{number}"], given.transpose(2, 1, 0))
    notes = [x.note for x in dataset.records[2].readings]
    assert notes[0] == "" and "voxel by voxel" in notes[1]


def test_one_part_alone_is_known_by_its_own_name(release, tmp_path, run_import):
    run_import("challenges.curvas", release / "training_set", "--out", tmp_path / "d", "--changing-raters")
    dataset = open_dataset(tmp_path / "d")
    assert {r.split for r in dataset.records} == {"train"} and not dataset.info.stable_raters


def refused(run_import, code, *words):
    with pytest.raises(ProbsegError) as caught:
        run_import("challenges.curvas", *words)
    assert caught.value.code == code, str(caught.value)
    return caught.value.message


def test_a_mask_that_lies_elsewhere_is_refused_with_both_ways_out(release, tmp_path, run_import):
    line = refused(run_import, "E_AFFINE_MISMATCH", release, "--out", tmp_path / "d")
    assert "--resample" in line and "--index-grid UKCHLL007/2" in line and not (tmp_path / "d").exists()
    line = refused(run_import, "E_UNKNOWN_RATER", release, "--out", tmp_path / "d", "--index-grid", "UKCHLL007/4")
    assert "UKCHLL000/1" in line
    save(release / "testing_set/UKCHLL007/annotation_2.nii.gz", np.zeros((5, 6, 3), np.uint8))
    refused(run_import, "E_SHAPE_MISMATCH", release, "--out", tmp_path / "d", "--index-grid", "UKCHLL007/2")


@pytest.mark.parametrize(
    ("value", "said"), [(4, "the value 4, but there may be 0 background, 1 pancreas"), (1.5, "frac")]
)
def test_values_without_meaning_are_refused(release, tmp_path, run_import, value, said):
    mask = np.zeros(SHAPE, np.float32)
    mask[0, 0, 0] = value
    save(release / "training_set/UKCHLL001/annotation_3.nii.gz", mask)
    line = refused(run_import, "E_UNKNOWN_LABEL", release / "training_set", "--out", tmp_path / "d")
    assert said in line and "annotation_3 of case 'UKCHLL001'" in line


def test_a_rounded_slope_is_no_fraction(release, tmp_path, run_import):
    mask = np.full(SHAPE, 2.00001, np.float32)
    mask[0] = 0
    save(release / "training_set/UKCHLL001/annotation_3.nii.gz", mask)
    run_import("challenges.curvas", release / "training_set", "--out", tmp_path / "d")
    dataset = open_dataset(tmp_path / "d")
    assert set(np.unique(dataset.load(dataset.records[1]).masks["rater-3"])) == {0, 2}


def test_what_is_left_out_is_told(release, tmp_path, run_import):
    save(release / "training_set/UKCHLL009/image.nii.gz", np.zeros(SHAPE, np.int16))
    save(release / "training_set/UKCHLL001/majority.nii.gz", np.zeros(SHAPE, np.uint8))
    with pytest.warns(ProbsegWarning) as caught:
        run_import("challenges.curvas", release / "training_set", "--out", tmp_path / "d")
    assert {w.message.code for w in caught} == {"W_NO_LABELS", "W_UNUSED_MASK"}


def test_what_is_no_release_is_one_line(release, tmp_path, run_import):
    (tmp_path / "empty").mkdir()
    refused(run_import, "E_NO_CASES", tmp_path / "empty", "--out", tmp_path / "d")
    refused(run_import, "E_FILE_MISSING", tmp_path / "nowhere", "--out", tmp_path / "d")
    refused(run_import, "E_USAGE", release / "training_set/UKCHLL000/image.nii.gz", "--out", tmp_path / "d")
    save(tmp_path / "other/UKCHLL000/image.nii.gz", np.zeros(SHAPE, np.int16))
    refused(run_import, "E_NO_LABELS", tmp_path / "other", "--out", tmp_path / "d")
    refused(run_import, "E_DUPLICATE_CASE", release, tmp_path / "other", "--out", tmp_path / "d")
