"""QUBIQ in the layouts of its releases: tasks, raters that are missing, channels, volumes, and who is held back."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.manifest import open_dataset


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)


def write(root, case, image, tasks, shape, rng, value=1):
    """``image`` is the shape in the file; ``tasks`` says how many raters drew each."""
    save(root / case / "image.nii.gz", (rng.random(image) * 900).astype(np.float32))
    for task, raters in enumerate(tasks, start=1):
        for rater in range(1, raters + 1):
            mask = (rng.random(shape) < 0.4).astype(np.uint8) * value
            save(root / case / f"task{task:02d}_seg{rater:02d}.nii.gz", mask)


@pytest.fixture
def prostate(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(1, 9):
        raters = 5 if k == 3 else 6
        write(tmp_path / "training_v3/prostate/Training", f"case{k:02d}", (7, 5), (raters, 6), (7, 5), rng)
    write(tmp_path / "validation/prostate/Validation", "case09", (7, 5, 1), (6, 6), (7, 5, 1), rng)
    return tmp_path / "training_v3/prostate", tmp_path / "validation/prostate"


def test_a_task_becomes_a_dataset(prostate, tmp_path, run_import, capsys):
    run_import("challenges.qubiq", *prostate, "--task", 1, "--validation", "0.25", "--out", tmp_path / "d")
    said = capsys.readouterr().out
    assert "patients: 1 test, 6 train, 2 validation" in said and "value 1 prostate-1: in 53 of 53 masks" in said
    dataset = open_dataset(tmp_path / "d")
    assert dataset.info.name == "QUBIQ prostate task 1" and not dataset.info.stable_raters
    assert [len(r.readings) for r in dataset.records] == [6, 6, 5, 6, 6, 6, 6, 6, 6]
    assert dataset.records[-1].split == "test"
    case = dataset.load(dataset.records[0])
    given = nib.load(prostate[0] / "Training/case01/task01_seg02.nii.gz").get_fdata()
    assert_array_equal(case.masks["rater-2"], given.T)
    image = nib.load(prostate[0] / "Training/case01/image.nii.gz").get_fdata().T
    low, high = np.percentile(image, [0.5, 99.5])
    assert_allclose(case.image, (image - low) / (high - low), atol=1e-5)
    assert case.geometry.spacing is None and dataset.info.window == (0.0, 1.0)


def test_channels_whether_the_file_has_a_slice_axis_or_not(tmp_path, run_import):
    rng = np.random.default_rng(1)
    write(tmp_path / "brain-tumor", "case01", (7, 5, 4), (3, 3, 3), (7, 5), rng)
    write(tmp_path / "brain-tumor", "case02", (7, 5, 1, 4), (3, 3, 3), (7, 5, 1), rng)
    names = ("t1", "t1ce", "t2", "flair")
    run_import("challenges.qubiq", tmp_path / "brain-tumor", "--task", 3, "--channels", *names, "--out", tmp_path / "d")
    dataset = open_dataset(tmp_path / "d")
    assert dataset.info.channels == names
    for case, record in zip(dataset, dataset.records, strict=True):
        assert case.image.shape == (4, 5, 7) and record.split == ""
    image = nib.load(tmp_path / "brain-tumor/case01/image.nii.gz").get_fdata()[..., 3].T
    low, high = np.percentile(image, [0.5, 99.5])
    assert_allclose(dataset.load(dataset.records[0]).image[3], (image - low) / (high - low), atol=1e-5)


def test_volumes_and_several_images_of_a_patient(tmp_path, run_import):
    rng = np.random.default_rng(2)
    for case in ("case1-1", "case1-2", "case13-1"):
        write(tmp_path / "pancreas", case, (3, 7, 5), (2,), (3, 7, 5), rng)
    run_import("challenges.qubiq", tmp_path / "pancreas", "--window", -160, 240, "--out", tmp_path / "d")
    dataset = open_dataset(tmp_path / "d")
    assert dataset.info.dimensions == 3 and dataset.info.window == (-160.0, 240.0)
    assert dataset.patients == ("case1", "case13") and dataset.raters == ("rater-1", "rater-2")
    assert dataset.load(dataset.records[0]).image.max() > 100  # as it was


def refused(run_import, code, *words):
    with pytest.raises(ProbsegError) as caught:
        run_import("challenges.qubiq", *words)
    assert caught.value.code == code, str(caught.value)
    return caught.value.message


def test_choices_that_are_the_users(prostate, tmp_path, run_import):
    out = ("--out", tmp_path / "d")
    assert "the tasks 1, 2" in refused(run_import, "E_USAGE", *prostate, *out)
    assert "--task 3" in refused(run_import, "E_USAGE", *prostate, "--task", 3, *out)
    refused(run_import, "E_USAGE", *prostate, "--task", 1, "--validation", 1, *out)
    refused(run_import, "E_USAGE", *prostate, "--task", 1, "--channels", "a", "b", *out)
    write(tmp_path / "training_v3/kidney", "case77", (7, 5), (3,), (7, 5), np.random.default_rng(3))
    assert "kidney, prostate" in refused(run_import, "E_USAGE", tmp_path / "training_v3", "--task", 1, *out)


def test_files_that_are_not_understood(tmp_path, run_import):
    root, rng, out = tmp_path / "kidney", np.random.default_rng(4), ("--out", tmp_path / "d")
    write(root, "case01", (7, 5), (3,), (7, 5), rng, value=255)
    assert "the value 255" in refused(run_import, "E_UNKNOWN_LABEL", root, *out)
    run_import("challenges.qubiq", root, "--foreground", 255, "--structure", "kidney", *out)
    assert open_dataset(tmp_path / "d").info.labels.names == ("background", "kidney")
    save(root / "case01/task01_seg_majority.nii.gz", np.zeros((7, 5), np.uint8))
    with pytest.warns(ProbsegWarning, match="W_UNUSED_MASK"):
        run_import("challenges.qubiq", root, "--foreground", 255, *out, "--overwrite")
    (root / "case01/task01_seg_majority.nii.gz").unlink()
    write(root, "case02", (7, 5, 2), (3,), (7, 5), rng, value=255)
    refused(run_import, "E_SHAPE_MISMATCH", root, "--foreground", 255, *out, "--overwrite")
    write(root, "case02", (7, 5), (3,), (7, 5), rng, value=255)
    save(root / "case02/image.nii.gz", np.full((7, 5), np.nan, np.float32))
    refused(run_import, "E_NONFINITE", root, "--foreground", 255, *out, "--overwrite")


def test_a_mask_named_after_its_case_is_of_the_first_task(tmp_path, run_import):
    save(tmp_path / "brain-growth/case05/image.nii.gz", np.ones((4, 3), np.float32))
    save(tmp_path / "brain-growth/case05/case05_seg02.nii.gz", np.eye(4, 3, dtype=np.uint8))
    run_import("challenges.qubiq", tmp_path / "brain-growth", "--out", tmp_path / "d")
    dataset = open_dataset(tmp_path / "d")
    assert (
        dataset.raters == ("rater-2",) and not dataset.load(dataset.records[0]).image.any()
    )  # one grey is no contrast
