"""``probseg import covid-ct-seg``: two sources of two kinds of intensities, and an infection that is a group."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from probseg.manifest import open_dataset

NAMES = ("coronacases_001", "coronacases_002", "radiopaedia_10_85902_1", "radiopaedia_10_85902_3")


@pytest.fixture
def folder(tmp_path, layout):
    for k, name in enumerate(NAMES):
        image = layout.hu(k) if name.startswith("corona") else layout.grey(k)
        layout.write(tmp_path / "c" / "COVID-19-CT-Seg_20cases" / f"{name}.nii.gz", image)
        layout.write(tmp_path / "c" / "Lung_and_Infection_Mask" / f"{name}.nii.gz", layout.mask(1, 2, 3))
        layout.write(tmp_path / "c" / "Infection_Mask" / f"{name}.nii.gz", layout.mask(0, 0, 1))
        layout.write(tmp_path / "c" / "Lung_Mask" / f"{name}.nii.gz", layout.mask(1, 2))
    return tmp_path / "c"


def test_grey_values_are_put_back_on_their_window(folder, layout, said, tmp_path):
    words = ("import", "covid-ct-seg", folder, "--grey-window", "-1250", "250", "--out", tmp_path / "d")
    status, out, err = said(*words)
    assert (status, err) == (0, [])
    assert out[:2] == [
        "2 images in Hounsfield units",
        "2 images in grey values of 8 bits, put back on -1250 to 250 HU",
    ]
    assert "value 3 opacity: in 4 of 4 masks" in out
    dataset = open_dataset(tmp_path / "d")
    assert dataset.sites == ("coronacases", "radiopaedia") and dataset.info.window == (-1000.0, 400.0)
    assert dataset.patients == ("coronacases_001", "coronacases_002", "radiopaedia_10")
    cases = {case.case_id: case for case in dataset}
    assert_array_equal(cases[NAMES[0]].image, layout.hu(0))
    assert_array_equal(cases[NAMES[2]].image, np.rint(-1250 + layout.grey(2) / 255 * 1500))
    rows = (tmp_path / "d" / "cases.csv").read_text().splitlines()
    assert [row.endswith("grey values put back on -1250 to 250 HU") for row in rows[1:]] == [False, False, True, True]


def test_infection_is_ground_glass_or_consolidation(folder, layout, said, tmp_path):
    assert said("import", "covid-ct-seg", folder, "--only", "hu", "--out", tmp_path / "d")[0] == 0
    dataset = open_dataset(tmp_path / "d")
    labels = dataset.info.labels
    assert labels.names == ("background", "left_lung", "right_lung", "ground_glass", "consolidation")
    mask = next(iter(dataset)).masks["reference"]
    assert_array_equal(labels.decode(mask), layout.mask(1, 2, 3))
    infected = mask[layout.mask(1, 2, 3) == 3]
    assert labels.admissible[infected].tolist() == [[False, False, False, True, True]] * len(infected)
    assert said("check", tmp_path / "d")[0] == 0


def test_one_kind_of_intensities_alone(folder, said, tmp_path):
    status, out, _ = said("import", "covid-ct-seg", folder, "--only", "grey", "--no-lungs", "--out", tmp_path / "d")
    assert status == 0 and out[:2] == [
        "2 images in grey values of 8 bits",
        "2 images in Hounsfield units left out, as --only says",
    ]
    dataset = open_dataset(tmp_path / "d")
    assert (dataset.sites, dataset.info.window) == (("radiopaedia",), (0.0, 255.0))
    assert dataset.info.labels.names == ("background", "ground_glass", "consolidation")


def test_faults_are_one_line(folder, layout, refused, tmp_path):
    words = ("import", "covid-ct-seg", folder, "--out", tmp_path / "d")
    line = refused("E_NOT_HU", *words)
    assert f"{NAMES[2]}.nii.gz' is in grey values of 8 bits, but others are in Hounsfield units" in line
    refused("E_USAGE", *words, "--only", "hu", "--grey-window", "-1250", "250")
    refused("E_USAGE", *words, "--grey-window", "250", "250")
    layout.write(folder / "extra" / f"{NAMES[0]}.nii", layout.hu())
    assert "are one scan" in refused("E_DUPLICATE_CASE", *words)
    (folder / "extra" / f"{NAMES[0]}.nii").unlink()
    (folder / "Lung_and_Infection_Mask" / f"{NAMES[1]}.nii.gz").unlink()
    assert NAMES[1] in refused("E_NO_LABELS", *words)
    refused("E_NO_CASES", "import", "covid-ct-seg", folder / "extra", "--out", tmp_path / "d")
