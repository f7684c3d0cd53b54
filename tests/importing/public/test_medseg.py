"""``probseg import medseg``: slices in one file, volumes in three folders."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from probseg.case import Geometry, to_canonical
from probseg.manifest import open_dataset

# As NIfTI stores its axes by default: columns towards the right, rows towards anterior.
TURNED = Geometry(
    (4, 32, 40), (5.0, 0.8, 0.8), (10.0, -5.0, 30.0), ((0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
)


@pytest.fixture
def folder(tmp_path, layout):
    """Slices in fractions of HU, and two volumes whose rows run to anterior."""
    layout.write(tmp_path / "m" / "tr_im.nii.gz", layout.hu(1) + np.float32(0.25))
    layout.write(tmp_path / "m" / "tr_mask.nii.gz", layout.mask(1, 2, 3).astype(np.float32))
    layout.write(tmp_path / "m" / "val_im.nii.gz", layout.hu(2))
    for k in (1, 2):
        layout.write(tmp_path / "m" / "rp_im" / f"{k}.nii.gz", layout.hu(k), TURNED)
        layout.write(tmp_path / "m" / "rp_msk" / f"{k}.nii.gz", layout.mask(1, 2, 3), TURNED)
        lungs = np.zeros(TURNED.shape, np.uint8)
        lungs[:, 2:20, 2:16], lungs[:, 2:20, 16:30] = 1, 2
        layout.write(tmp_path / "m" / "rp_lung_msk" / f"{k}.nii.gz", lungs, TURNED)
    return tmp_path / "m"


def test_slices(folder, layout, said, tmp_path):
    status, out, err = said("import", "medseg", folder, "--part", "slices", "--out", tmp_path / "d")
    assert (status, err) == (0, [])
    assert out[:2] == ["4 slices in Hounsfield units", "value 0 background: in 1 of 1 masks"]
    assert out[4:6] == [
        "value 3 pleural_effusion: in 1 of 1 masks",
        "patients are not known: each slice counts as a patient of its own",
    ]
    dataset = open_dataset(tmp_path / "d")
    assert (dataset.info.dimensions, dataset.info.window, dataset.info.stable_raters) == (2, (-1000.0, 400.0), False)
    assert dataset.info.labels.label_names[:4] == ("background", "ground_glass", "consolidation", "pleural_effusion")
    for k, case in enumerate(dataset):
        assert_array_equal(case.image, layout.hu(1)[k] + np.float32(0.25))
        assert_array_equal(case.masks["radiologist"], layout.mask(1, 2, 3)[k])


def test_slices_in_grey_values_get_their_window(folder, layout, said, tmp_path):
    layout.write(folder / "tr_im.nii.gz", layout.grey())
    words = ("import", "medseg", folder, "--part", "slices", "--out", tmp_path / "d")
    assert said(*words)[1][0] == "4 slices in grey values of 8 bits"
    assert open_dataset(tmp_path / "d").info.window == (0.0, 255.0)
    assert said(*words, "--overwrite", "--window", 10, 200)[0] == 0
    assert open_dataset(tmp_path / "d").info.window == (10.0, 200.0)


def test_slices_without_orientation_are_taken_as_they_lie_where_asked_for(folder, layout, said, refused, tmp_path):
    for name in ("tr_im", "tr_mask"):
        image = nib.load(folder / f"{name}.nii.gz")
        image.set_sform(None, 0)
        image.set_qform(None, 0)
        nib.save(image, folder / f"{name}.nii.gz")
    words = ("import", "medseg", folder, "--part", "slices", "--out", tmp_path / "d")
    assert "add --index-grid to take it as it lies" in refused("E_NO_ORIENTATION", *words)
    assert said(*words, "--index-grid")[0] == 0
    case = next(iter(open_dataset(tmp_path / "d")))
    assert_array_equal(case.image, layout.hu(1)[0] + np.float32(0.25))
    assert_array_equal(case.masks["radiologist"], layout.mask(1, 2, 3)[0])


def test_volumes(folder, layout, said, tmp_path):
    status, out, err = said("import", "medseg", folder, "--part", "volumes", "--out", tmp_path / "d")
    assert (status, err) == (0, [])
    assert out[0] == "2 images in Hounsfield units"
    dataset = open_dataset(tmp_path / "d")
    assert [r.case_id for r in dataset.records] == ["volume-1", "volume-2"]
    case = dataset.load(dataset.records[1])
    assert_array_equal(case.image, to_canonical(layout.hu(2), TURNED)[0])
    assert_array_equal(case.masks["radiologist"], to_canonical(layout.mask(1, 2, 3), TURNED)[0])
    assert (tmp_path / "d" / "images" / "volume-2.nii.gz").read_bytes() == (folder / "rp_im" / "2.nii.gz").read_bytes()
    assert said("check", tmp_path / "d")[0] == 0


def test_healthy_lung_is_a_class_where_asked_for(folder, layout, said, tmp_path):
    status, out, _ = said("import", "medseg", folder, "--part", "volumes", "--lungs", "--out", tmp_path / "d")
    assert status == 0 and "value 2 lung: in 2 of 2 masks" in out
    dataset = open_dataset(tmp_path / "d")
    mask = dataset.info.labels.decode(next(iter(dataset)).masks["radiologist"])
    drawn = to_canonical(layout.mask(1, 2, 3), TURNED)[0]
    assert_array_equal(mask[drawn > 0], drawn[drawn > 0])
    assert (mask == 4).sum() == 4 * (18 * 28 - 6 * 18)  # the lungs without the three bars inside them


def test_faults_are_one_line(folder, layout, refused, tmp_path):
    words = ("import", "medseg", folder, "--out", tmp_path / "d")
    assert "--part slices or volumes" in refused("E_USAGE", *words)
    assert "--lungs is for volumes" in refused("E_USAGE", *words, "--part", "slices", "--lungs")
    layout.write(folder / "tr_mask.nii.gz", layout.mask(1, 5))
    assert "tr_mask.nii.gz') holds the value 5" in refused("E_UNKNOWN_LABEL", *words, "--part", "slices")
    layout.write(folder / "tr_mask.nii.gz", layout.hu())
    assert "is it the image?" in refused("E_UNKNOWN_LABEL", *words, "--part", "slices")
    layout.write(folder / "rp_im" / "2.nii.gz", layout.grey(), TURNED)
    line = refused("E_NOT_HU", *words, "--part", "volumes")
    assert "2.nii.gz" in line and "--only hu or --only grey" in line and "--grey-window" in line
    (folder / "rp_msk" / "1.nii.gz").unlink()
    assert "1.nii.gz' has no mask" in refused("E_NO_LABELS", *words, "--part", "volumes")
    (folder / "tr_im.nii.gz").unlink()
    assert "tr_im.nii.gz" in refused("E_FILE_MISSING", *words, "--part", "slices")
    assert not (tmp_path / "d").exists()
