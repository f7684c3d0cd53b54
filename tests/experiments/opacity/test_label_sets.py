"""The study's ids and groups as published, and the settings of its phases."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import yaml

from probseg.cli import main
from probseg.data.synthetic import LABELS as SYNTHETIC
from probseg.io.strict_yaml import read_yaml
from probseg.labels import LabelSet
from probseg.manifest import open_dataset

PUBLISHED = {0: 0, 1: 1, 2: 1, 3: 0, 4: 0, 5: 2, 6: 3, 7: 3, 8: 4, 9: 4, 10: 4}  # class id to group id


@pytest.fixture(scope="module")
def study(folder):
    return LabelSet.from_dict(read_yaml(folder / "labels.yaml"))


@pytest.fixture(scope="module")
def groups(folder):
    return LabelSet.from_dict(read_yaml(folder / "groups.yaml"))


def test_class_ids_and_group_ids_are_those_published(study, groups, script):
    assert [c.value for c in study.classes] == list(range(11))
    assert [c.value for c in groups.classes] == list(range(5))
    place = script("opacity/build").groups_of(study)
    assert {c.value: groups.names.index(place[c.name]) for c in study.classes} == PUBLISHED
    # the first five groups of labels.yaml share the classes out between them
    members = np.array([study.members(g.name) for g in study.groups[:5]])
    assert (members.sum(axis=0) == 1).all()


def test_opacity_is_groups_2_to_4(study, groups):
    assert np.flatnonzero(groups.members("opacity")).tolist() == [2, 3, 4]
    assert np.flatnonzero(study.members("opacity")).tolist() == [i for i, group in PUBLISHED.items() if group >= 2]


def test_synthetic_ct_has_the_same_names_and_ids(study):
    values = {c.name: c.value for c in study.classes}
    assert {c.name: c.value for c in SYNTHETIC.classes}.items() <= values.items()


@pytest.mark.journey
def test_an_import_takes_the_label_set(tmp_path, folder):
    mask = np.arange(12, dtype=np.uint8).reshape(3, 2, 2) % 11
    mask[0, 0, 0], mask[2, 1, 1] = 20, 255  # an opacity of no known kind, and nobody knows
    for name, array in (("scans/c.nii.gz", mask.astype(np.int16) - 900), ("masks/c.nii.gz", mask)):
        (tmp_path / name).parent.mkdir()
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / name)
    words = ["import", "nifti", str(tmp_path / "scans"), "--masks", f"ann={tmp_path}/masks/{{case}}.nii.gz"]
    words += ["--labels", str(folder / "labels.yaml"), "--window", "-1000", "50", "--out", str(tmp_path / "ct")]
    assert main(words) == 0
    dataset = open_dataset(tmp_path / "ct")
    (case,) = dataset
    found = dataset.info.labels.decode(case.masks["ann"])
    assert sorted(found.ravel()) == sorted(mask.ravel()) and dataset.info.window == (-1000.0, 50.0)


def test_the_phases_have_the_study_s_sizes_losses_and_starts(folder):
    read = {p.stem: yaml.safe_load(p.read_text(encoding="utf-8")) for p in folder.glob("*.yaml")}
    start = {name: config["model"]["init_args"].get("warm_start") for name, config in read.items() if "model" in config}
    assert start["phase1_unet"] == "runs/phase1_lungs" and start["phase2_soft"] == "runs/phase1_unet"
    assert start["phase3"] == "runs/phase2_soft"
    for name in ("phase1_unet", "phase2_soft", "phase3"):
        settings = read[name]["model"]["init_args"]
        assert settings["network"]["class_path"].endswith(".L3UNet")
        assert "channels" not in settings["network"]["init_args"]  # those of the study are the default
        assert settings["optimizer"]["init_args"]["lr"] == 1e-5
    assert read["trainer"]["trainer"]["max_epochs"] == 100
