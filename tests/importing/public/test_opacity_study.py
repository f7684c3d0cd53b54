"""``probseg import opacity-study``: labels that say a part, slice by slice."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from probseg.cli import main
from probseg.data.datamodule import MultiRaterData
from probseg.importing.public.parenchyma import LABELS, phase3_labels
from probseg.io.dicom.order import short_uid
from probseg.manifest import open_dataset

h5py = pytest.importorskip("h5py")

SHAPE = (3, 32, 40)


def series(seed=0):
    """CT and parenchyma as published: lungs and consolidation in full, ground glass where it was drawn, else -1."""
    rng = np.random.default_rng(seed)
    ct = rng.integers(-1000, 200, SHAPE).astype(np.int32)
    parenchyma = np.zeros((SHAPE[0], 3, *SHAPE[1:]))
    parenchyma[:, 0, 4:28, 4:36] = 1
    parenchyma[:, 1] = np.where(rng.random(SHAPE) < 0.3, 1, -1)
    parenchyma[:, 2, 10:20, 10:20] = 1
    return ct, parenchyma, rng.random(SHAPE).astype(np.float32)


def write(path, use="Train", name="1.2.3", **changed):
    ct, parenchyma, vesselness = series()
    arrays = {"CT": ct, "Parenchyma": parenchyma, "Vesselness": vesselness, "Bone": np.zeros(SHAPE)} | changed
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        group = file.create_group(name)
        for key, array in arrays.items():
            if array is not None:
                group.create_dataset(key, data=array)
        group.create_dataset("SOPInstanceUIDs", data=np.array([f"1.2.3.{k}" for k in range(3)], "S75"))
        if use is not None:
            group.create_dataset("DataUse", data=np.array([use], "S75"))
    return path


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "h" / "train" / "9.1.hdf5")
    ct, unread, _ = series(1)
    unread[1] = -1
    write(tmp_path / "h" / "test" / "9.2.h5", "Test", CT=ct, Parenchyma=unread)
    return tmp_path / "h"


def test_slices_have_the_labels_of_the_rules(folder, said, tmp_path):
    status, out, err = said("import", "opacity-study", folder, "--out", tmp_path / "d")
    assert (status, err) == (0, [])
    assert out[0] == "2 files, 2 series; 0 of the files to train with validate"
    drawn, left = 5 * 24 * 32, 5 * (1280 - 24 * 32)
    assert out[1] == f"Parenchyma, lung: {drawn} voxels drawn (1), {left} voxels ruled out (0), 0 voxels not said (-1)"
    assert out[4].startswith("labels: ") and "voxels lung_without_consolidation" in out[4]
    assert out[5] == "1 slices say nothing of any voxel and were left out"
    dataset = open_dataset(tmp_path / "d")
    assert (dataset.info.window, dataset.info.labels) == ((-1000.0, 350.0), LABELS)
    patients = [short_uid("9.1"), short_uid("9.2")]
    assert [r.case_id for r in dataset.records] == [
        *(f"{patients[0]}-{short_uid('1.2.3')}-{k:03d}" for k in range(3)),
        *(f"{patients[1]}-{short_uid('1.2.3')}-{k:03d}" for k in (0, 2)),
    ]
    assert [r.split for r in dataset.records] == ["train"] * 3 + ["test"] * 2
    assert set(dataset.patients) == set(patients)
    for case, (seed, k) in zip(dataset, ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2)), strict=True):
        ct, parenchyma, _ = series(seed)
        assert_array_equal(case.image, ct[k])
        assert_array_equal(LABELS.decode(case.masks["reader"]), phase3_labels(ct[k], parenchyma[k]))
    status, _, err = said("check", tmp_path / "d")
    assert status == 0, err


def test_a_batch_admits_what_was_not_ruled_out(folder, tmp_path):
    assert main(["import", "opacity-study", str(folder), "--out", str(tmp_path / "d")]) == 0
    data = MultiRaterData(str(tmp_path / "d"), batch_size=3)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.masks.shape == (3, 1, *SHAPE[1:])
    assert torch.isfinite(batch.image).all()
    admissible = LABELS.admissible[batch.masks.numpy()]
    assert {2, 3, 1} >= set(np.unique(admissible.sum(axis=-1))) and (admissible.sum(axis=-1) == 3).any()


def test_the_studys_own_reading(folder, said, tmp_path):
    words = ("--no-negatives", "--vesselness", "0.5", "--window", "-1000", "50")
    assert said("import", "opacity-study", folder / "train" / "9.1.hdf5", *words, "--out", tmp_path / "d")[0] == 0
    ct, parenchyma, vesselness = series()
    dataset = open_dataset(tmp_path / "d")
    assert dataset.info.window == (-1000.0, 50.0) and "rule out" not in dataset.info.note
    for k, case in enumerate(dataset):
        expected = phase3_labels(ct[k], parenchyma[k], vesselness[k] > 0.5, negatives=False)
        assert_array_equal(LABELS.decode(case.masks["reader"]), expected)


def test_a_share_of_the_studies_to_train_with_validates(said, tmp_path):
    """Whole studies, of Train alone, and the same whichever others are imported."""
    for k in range(6):
        write(tmp_path / "h" / f"9.{k}.hdf5", "Test" if k == 0 else "Train", CT=series(k)[0])

    def splits(*words):
        assert said("import", "opacity-study", tmp_path / "h", "--out", tmp_path / "d", "--overwrite", *words)[0] == 0
        return {r.patient_id: r.split for r in open_dataset(tmp_path / "d").records}

    order = sorted(short_uid(f"9.{k}") for k in range(1, 6))
    found = splits()
    assert [p for p, split in found.items() if split == "validation"] == order[:1]
    assert found[short_uid("9.0")] == "test"
    assert {p for p, split in splits("--validation", "0.6").items() if split == "validation"} == set(order[:3])
    assert set(splits("--validation", "0").values()) == {"train", "test"}


@pytest.mark.parametrize(
    ("code", "words", "changed"),
    [
        ("E_SCHEMA", "no numbers called CT", {"CT": None}),
        ("E_SHAPE_MISMATCH", "must be (3, 3, 32, 40)", {"Parenchyma": np.zeros((3, 2, 32, 40))}),
        ("E_SHAPE_MISMATCH", "names 3 slices", {"CT": series()[0][:2], "Parenchyma": series()[1][:2]}),
        ("E_UNKNOWN_LABEL", "Parenchyma of slice 0", {"Parenchyma": series()[1] + 2}),
        ("E_NOT_HU", "slice 0", {"CT": series()[0] + 1024}),
        ("E_SCHEMA", "DataUse", {"use": "secret"}),
    ],
)
def test_other_layouts_are_one_line(code, words, changed, refused, tmp_path):
    path = write(tmp_path / "h" / "9.1.hdf5", **changed)
    line = refused(code, "import", "opacity-study", path, "--out", tmp_path / "d")
    assert words in line and "9.1.hdf5" in line and "secret" not in line
    assert not (tmp_path / "d").exists()


def test_what_is_no_such_file_is_one_line(refused, tmp_path, monkeypatch):
    words = ("--out", tmp_path / "d")
    (tmp_path / "a.hdf5").write_bytes(b"no HDF5 at all")
    refused("E_CORRUPT", "import", "opacity-study", tmp_path / "a.hdf5", *words)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["1.2"] = h5py.ExternalLink(str(write(tmp_path / "b" / "b.hdf5")), "/1.2.3")
    assert "link instead of data" in refused("E_SCHEMA", "import", "opacity-study", tmp_path / "a.hdf5", *words)
    (tmp_path / "empty").mkdir()
    refused("E_NO_CASES", "import", "opacity-study", tmp_path / "empty", *words)
    write(tmp_path / "b" / "again" / "b.hdf5")
    refused("E_DUPLICATE_CASE", "import", "opacity-study", tmp_path / "b", *words)
    refused("E_USAGE", "import", "opacity-study", tmp_path / "b", *words, "--vesselness", "2")
    refused("E_USAGE", "import", "opacity-study", tmp_path / "b", *words, "--validation", "1")
    monkeypatch.setitem(sys.modules, "h5py", None)
    line = refused("E_MISSING_EXTRA", "import", "opacity-study", tmp_path / "a.hdf5", *words)
    assert "pip install 'probseg[hdf5]'" in line
