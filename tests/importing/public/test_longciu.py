"""``probseg import longciu``: slices, three raters who stay the same, and a consensus that is none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from probseg.case import Geometry, reorient
from probseg.cli import main
from probseg.data.datamodule import MultiRaterData
from probseg.manifest import open_dataset


@pytest.fixture(scope="module")
def grid(layout):
    return Geometry((8, 32, 40), (1.0, 0.7, 0.7))


def write(folder, layout, grid, seed=3):
    image = layout.hu(seed, grid)
    layout.write(folder / "longciu_img.nii.gz", image, grid)
    masks = {}
    for rater in (1, 2, 3):
        masks[rater] = layout.mask(1, 2, shift=rater, grid=grid)
        masks[rater][rater] = 0  # each rater found nothing on a slice of his own
        layout.write(folder / f"longciu_{rater}_tgt.nii.gz", masks[rater].astype(np.float32), grid)
    layout.write(folder / "longciu_STAPLE_tgt.nii.gz", masks[2], grid)
    layout.write(folder / "longciu_medpseg_output.nii.gz", masks[1], grid)
    splits = {"train": [0, 5, 6, 7], "val": [1], "test": [2, 3]}
    (folder / "longciu_splits.json").write_text(json.dumps(splits))
    return image, masks


@pytest.fixture(scope="module")
def source(tmp_path_factory, layout, grid):
    folder = tmp_path_factory.mktemp("longciu") / "data"
    return folder, *write(folder, layout, grid)


@pytest.fixture(scope="module")
def imported(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "slices"
    assert main(["import", "longciu", str(source[0]), "--out", str(out)]) == 0
    return out


def test_every_slice_is_a_case_with_three_raters(imported, source):
    _, image, masks = source
    dataset = open_dataset(imported)
    assert dataset.raters == ("rater-1", "rater-2", "rater-3") and dataset.info.stable_raters
    assert (dataset.info.dimensions, dataset.info.window) == (2, (-1000.0, 400.0))
    assert dataset.info.labels.label_names == ("background", "ground_glass", "consolidation", "opacity")
    splits = [r.split for r in dataset.records]
    assert splits == ["train", "validation", "test", "test", "", "train", "train", "train"]
    assert len(dataset.patients) == 8 and "one patient is not known" in dataset.info.note
    for k, case in enumerate(dataset):
        assert case.geometry.spacing is None
        assert_array_equal(case.image, image[k])
        for rater in (1, 2, 3):
            assert_array_equal(case.masks[f"rater-{rater}"], masks[rater][k])


def test_what_was_found_is_told(source, said, tmp_path):
    status, out, err = said("import", "longciu", source[0], "--out", tmp_path / "d")
    assert (status, err) == (0, [])
    assert out == [
        "splits of longciu_splits.json: 4 train, 1 validation, 2 test, 1 in no split",
        "value 0 background: in 3 of 3 masks",
        "value 1 ground_glass: in 3 of 3 masks",
        "value 2 consolidation: in 3 of 3 masks",
        "longciu_STAPLE_tgt.nii.gz fits the slices (252 pixels of 1, 252 pixels of 2) and is no rater: it stays where "
        "it is",
        "patients are not known: each slice counts as a patient of its own",
        f"wrote {tmp_path / 'd'}: 8 cases of 8 patients, 24 readings of 3 raters",
        f"next: probseg check {tmp_path / 'd'}",
    ]


def test_the_next_commands_take_it(imported, said, tmp_path):
    status, _, err = said("check", imported)
    assert (status, err) == (0, [])
    status, _, err = said("agreement", imported, "--out", tmp_path / "agreement")
    assert status == 0 and not [line for line in err if line.startswith("error")]
    assert (tmp_path / "agreement").is_dir()
    data = MultiRaterData(str(imported), batch_size=2, crop=[16, 16])
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.image.shape == (2, 1, 16, 16)
    assert batch.masks.shape == (2, 3, 16, 16)


def test_slices_keep_their_number_and_turn_in_their_plane(layout, grid, said, tmp_path):
    """A file whose rows run to anterior, columns to right and slices to the feet gives the same slices."""
    image, masks = write(tmp_path / "a", layout, grid)
    turned = Geometry(grid.shape, grid.spacing, direction=((0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)))
    files = {"longciu_img": image, **{f"longciu_{r}_tgt": m for r, m in masks.items()}}
    for name, array in files.items():
        stored, geometry = reorient(array, grid, turned.direction)
        layout.write(tmp_path / "b" / f"{name}.nii.gz", stored, geometry)
    assert said("import", "longciu", tmp_path / "b", "--out", tmp_path / "d")[0] == 0
    for k, case in enumerate(open_dataset(tmp_path / "d")):
        assert_array_equal(case.image, image[-1 - k])  # the file's first slice is the highest
        assert_array_equal(case.masks["rater-2"], masks[2][-1 - k])


def test_values_are_mapped_or_refused(layout, grid, said, refused, tmp_path):
    _, masks = write(tmp_path / "a", layout, grid)
    path = tmp_path / "a" / "longciu_3_tgt.nii.gz"
    layout.write(path, np.where(masks[3] == 2, 4, masks[3]).astype(np.uint8), grid)
    words = ("import", "longciu", tmp_path / "a", "--out", tmp_path / "d")
    line = refused("E_UNKNOWN_LABEL", *words)
    assert f"rater-3 ('{path}') holds the value 4" in line and "--classes VALUE=NAME" in line
    assert not (tmp_path / "d").exists()
    status, out, _ = said(*words, "--classes", "4=consolidation")
    assert status == 0 and "value 4 consolidation: in 1 of 3 masks" in out
    assert_array_equal(
        open_dataset(tmp_path / "d").load(open_dataset(tmp_path / "d").records[0]).masks["rater-3"], masks[3][0]
    )
    assert "solid" in refused("E_UNKNOWN_LABEL", *words, "--overwrite", "--classes", "4=solid")
    assert "'x=opacity'" in refused("E_USAGE", *words, "--overwrite", "--classes", "x=opacity")


def test_faults_are_one_line(layout, grid, refused, said, tmp_path):
    folder = tmp_path / "a"
    image, masks = write(folder, layout, grid)
    words = ("import", "longciu", folder, "--out", tmp_path / "d")
    (folder / "longciu_splits.json").write_text('{"train": [90]}')
    assert "--no-splits" in refused("E_SCHEMA", *words)
    layout.write(folder / "longciu_img.nii.gz", ((image + 1000) / 1300).astype(np.float32), grid)
    assert "neither Hounsfield units" in refused("E_NOT_HU", *words, "--no-splits")
    layout.write(folder / "longciu_img.nii.gz", layout.grey(grid=grid), grid)
    assert "grey values" in refused("E_NOT_HU", *words, "--no-splits")
    layout.write(folder / "longciu_img.nii.gz", image, grid)
    moved = Geometry(grid.shape, grid.spacing, (3.0, 0.0, 0.0))
    layout.write(folder / "longciu_1_tgt.nii.gz", masks[1], moved)
    assert "or add --index-grid" in refused("E_AFFINE_MISMATCH", *words, "--no-splits")
    assert said(*words, "--no-splits", "--index-grid")[0] == 0
    assert_array_equal(next(iter(open_dataset(tmp_path / "d"))).masks["rater-1"], masks[1][0])
    (folder / "longciu_img.nii.gz").unlink()
    assert "longciu_img.nii.gz" in refused("E_FILE_MISSING", *words, "--overwrite")
    refused("E_USAGE", "import", "longciu", folder / "longciu_splits.json", "--out", tmp_path / "e")
