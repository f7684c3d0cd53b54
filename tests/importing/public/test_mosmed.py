"""``probseg import mosmed``: studies with a mask, their severity, and a batch beside data that tell opacities apart."""

from __future__ import annotations

import pytest
from numpy.testing import assert_array_equal

from probseg.data.datamodule import MultiRaterData
from probseg.manifest import open_dataset


@pytest.fixture
def folder(tmp_path, layout):
    for name, severity in (("study_0001", "CT-0"), ("study_0255", "CT-1"), ("study_0256", "CT-2")):
        layout.write(tmp_path / "mm" / "studies" / severity / f"{name}.nii.gz", layout.hu())
    for name in ("study_0255_mask", "study_0256_mask"):
        layout.write(tmp_path / "mm" / "masks" / f"{name}.nii.gz", layout.mask(1))
    return tmp_path / "mm"


def test_studies_with_a_mask(folder, layout, said, tmp_path):
    status, out, err = said("import", "mosmed", folder, "--out", tmp_path / "d")
    assert (status, err) == (0, [])
    assert out[0] == "2 images in Hounsfield units" and out[-1] == "1 studies have no mask and were left out"
    dataset = open_dataset(tmp_path / "d")
    assert [r.case_id for r in dataset.records] == ["study_0255", "study_0256"]
    assert [r.readings[0].note for r in dataset.records] == ["severity CT-1", "severity CT-2"]
    mask = next(iter(dataset)).masks["reference"]
    assert_array_equal(dataset.info.labels.decode(mask), layout.mask(1))
    assert dataset.info.labels.admissible[mask.max()].tolist() == [False, True, True]
    assert said("check", tmp_path / "d")[0] == 0


def test_it_joins_data_that_tell_opacities_apart(folder, layout, said, tmp_path):
    """Volumes of MedSeg lead, and opacity there is the group that MosMedData draws."""
    for k in (1, 2):
        layout.write(tmp_path / "m" / "rp_im" / f"{k}.nii.gz", layout.hu(k))
        layout.write(tmp_path / "m" / "rp_msk" / f"{k}.nii.gz", layout.mask(1, 2))
    assert said("import", "medseg", tmp_path / "m", "--out", tmp_path / "a")[0] == 0
    assert said("import", "mosmed", folder, "--out", tmp_path / "b")[0] == 0
    for name in ("a", "b"):
        path = tmp_path / name / "cases.csv"
        rows = path.read_text().splitlines()
        assert rows[0].startswith("case_id,patient_id,site,image,rater,mask,rated,split")
        split = [[*row.split(",")[:7], "train", *row.split(",")[8:]] for row in rows[1:]]
        path.write_text("\n".join([rows[0], *(",".join(row) for row in split)]) + "\n")
    data = MultiRaterData([str(tmp_path / "a"), str(tmp_path / "b")], slices=True, batch_size=16, crop=[16, 16])
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.image.shape == (16, 1, 16, 16)
    found = set(batch.masks.unique().tolist())
    # ground glass, consolidation; the group that the others drew, and what may be background or effusion there
    assert found == {0, 1, 2, 4, 5}


def test_faults_are_one_line(folder, layout, said, refused, tmp_path):
    words = ("import", "mosmed", folder, "--out", tmp_path / "d")
    layout.write(folder / "masks" / "study_0999_mask.nii.gz", layout.mask(1))
    _, _, err = said(*words)
    assert len(err) == 1 and err[0].startswith("warning: W_UNUSED_MASK: 1 masks belong to no study")
    layout.write(folder / "masks" / "study_0256_mask.nii.gz", layout.mask(255))
    assert "holds the value 255" in refused("E_UNKNOWN_LABEL", *words, "--overwrite")
    assert said(*words, "--overwrite", "--classes", "255=opacity")[0] == 0
    layout.write(folder / "again" / "study_0256.nii", layout.hu())
    assert "are one study" in refused("E_DUPLICATE_CASE", *words, "--overwrite")
    refused("E_NO_CASES", "import", "mosmed", folder / "masks", "--out", tmp_path / "e")
