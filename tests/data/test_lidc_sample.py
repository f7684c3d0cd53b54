"""The sample inside the package: it opens, it is whole, and nobody can mistake a mask slot for a person."""

from __future__ import annotations

import hashlib
import importlib.util
from collections import defaultdict
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from probseg.manifest import open_dataset
from probseg.records import SPLITS, Dataset

FOLDER = resources.files("probseg") / "data" / "lidc_sample"
IMAGES_SHA256 = "e0670dce46b87e9a8668e51f4e95adb3cd02f8d0b739a3b07c6d1893608a1a53"
MASKS_SHA256 = "54b2451feeffcc1ed2024dc37f86e676a03c4b91a0a9e343dc108d5a07e9821e"


@pytest.fixture(scope="module")
def sample() -> Dataset:
    return open_dataset("lidc-sample")


def test_opens_and_reads_a_case(sample: Dataset) -> None:
    assert (len(sample), len(sample.patients)) == (494, 245)
    case = sample.load(sample.records[0])
    assert case.image.shape == (64, 64)
    assert case.image.dtype == np.uint8
    assert len(case.masks) == 4
    assert {int(v) for mask in case.masks.values() for v in np.unique(mask)} == {0, 1}
    assert case.geometry.spacing is not None
    assert 0.4 < case.geometry.spacing[0] < 1.0  # mm; chest CT has fields of view of 25 to 50 cm on 512 pixels
    assert case.geometry.voxel_volume_ml == pytest.approx(
        case.geometry.spacing[0] ** 2 * case.geometry.slice_thickness_mm / 1000
    )


def test_no_patient_is_in_two_splits(sample: Dataset) -> None:
    splits = defaultdict(set)
    for record in sample.records:
        splits[record.patient_id].add(record.split)
    assert all(len(s) == 1 for s in splits.values())
    patients = {split: len(sample.select(splits=[split]).patients) for split in SPLITS}
    assert patients == {"train": 135, "validation": 24, "calibration": 30, "test": 56}


def test_a_slot_is_not_a_person(sample: Dataset) -> None:
    assert not sample.info.stable_raters
    with np.load(str(FOLDER / "lidc_sample.npz")) as archive:
        empty = ~archive["masks"].any(axis=(2, 3))
    # 225 nodules have one empty mask. In the source that is slot 3 for five of six; shuffled, each slot has a quarter,
    # 56 with a standard deviation of sqrt(225 x 1/4 x 3/4) = 6.5.
    assert empty.sum() == 225
    assert np.abs(empty.sum(axis=0) - empty.sum() / 4).max() < 4 * 6.5


def test_every_nodule_has_three_or_four_masks_with_something_in(sample: Dataset) -> None:
    drawn = [sum(bool(m.any()) for m in case.masks.values()) for case in sample]
    assert set(drawn) == {3, 4}


def test_size_and_bytes_are_the_known_ones() -> None:
    data = (FOLDER / "lidc_sample.npz").read_bytes()
    assert len(data) <= 1_600_000
    with np.load(str(FOLDER / "lidc_sample.npz")) as archive:
        assert hashlib.sha256(archive["image"].tobytes()).hexdigest() == IMAGES_SHA256
        assert hashlib.sha256(archive["masks"].tobytes()).hexdigest() == MASKS_SHA256


def test_attribution_travels_with_the_data(sample: Dataset) -> None:
    text = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for needed in ("Armato", "10.7937/K9/TCIA.2015.LO9QL9SX", "creativecommons.org/licenses/by/3.0"):
        assert needed in text
    assert "LIDC-IDRI" in sample.info.note
    assert "CC BY 3.0" in sample.info.note


def test_the_script_makes_the_shipped_arrays(repository: Path, shared_data: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "lidc_sample_build", repository / "experiments" / "lidc_sample_build" / "build.py"
    )
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    with np.load(shared_data / "lidc" / "lidc_small_64.npz") as archive:
        made = build.select({name: archive[name] for name in archive.files}, count=245)
    with np.load(str(FOLDER / "lidc_sample.npz")) as shipped:
        assert set(made) == set(shipped.files)
        for name in made:
            np.testing.assert_array_equal(made[name], shipped[name])
