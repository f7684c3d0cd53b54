"""The models that come with the package: small, sound, with honest cards, and as good on the sample as they say."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from probseg.batch import collate
from probseg.cli import main
from probseg.data.datamodule import MultiRaterData
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.metrics import Evaluation
from probseg.models import load_model
from probseg.zoo import located, model_folder, model_names, typed

NAMES = model_names()


def test_there_are_models_of_both_kinds() -> None:
    assert {"lidc-small", "synthetic-opacity-small"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_model_is_small_and_says_what_it_is_not_for(name: str) -> None:
    folder = model_folder(name)
    assert sum(p.stat().st_size for p in folder.iterdir()) < 5_000_000
    card = (folder / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["license"] in ("cc-by-3.0", "apache-2.0")
    assert f"\n# {name}\n" in card and "must not be used" in card and "not a medical device" in card
    assert "Nobody has said" not in card and "is not recorded" not in card
    if head["license"] == "cc-by-3.0":
        assert "10.7937/K9/TCIA.2015.LO9QL9SX" in card


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_model_loads(name: str) -> None:
    model = load_model(f"zoo:{name}")
    assert model.info is not None and not model.training
    assert sum(p.numel() for p in model.parameters()) > 100_000


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProbsegError, match=r"E_UNKNOWN_MODEL.*'nope'.*lidc-small"):
        model_folder("nope")
    for name in ("../models", "", ".", "lidc-small/../lidc-small"):
        with pytest.raises(ProbsegError, match="E_UNKNOWN_MODEL"):
            model_folder(name)
    assert located("zoo:lidc-small") == model_folder("lidc-small") and located("lidc-small") == Path("lidc-small")
    monkeypatch.chdir(tmp_path)
    assert typed(model_folder("lidc-small") / "model.safetensors") == "zoo:lidc-small" and typed(Path("a/b")) == "a/b"
    Path("zoo:lidc-small").mkdir()  # a folder of the user's goes before
    assert located("zoo:lidc-small") == Path("zoo:lidc-small")


def test_on_the_samples_test_patients_it_is_as_good_as_its_card_says() -> None:
    data, model = MultiRaterData("lidc-sample"), load_model("zoo:lidc-small")
    examples = data.examples("test")
    batch = collate([examples[k] for k in range(len(examples))])
    evaluation = Evaluation(2, model.admissible, 100, data.info.labels)
    with torch.inference_mode():
        evaluation.update(model(batch.image, Draws(100)), batch)
    found = evaluation.compute()
    card = (model_folder("lidc-small") / "README.md").read_text(encoding="utf-8")
    told = {m: float(v) for m, v in re.findall(r"^\| `(\w+)` \| (-?[0-9.]+) \|", card, re.MULTILINE)}
    assert len(batch) == 102 and told["soft_dice"] > 0.4
    for metric in ("soft_dice", "ged_v", "ged_u", "hm_iou", "ece", "nll"):
        assert abs(found[metric] - told[metric]) < 1e-3, metric


@pytest.mark.journey
def test_new_images_are_predicted_without_training(tmp_path: Path) -> None:
    with np.load(files("probseg.data") / "lidc_sample" / "lidc_sample.npz") as sample:
        chosen = np.flatnonzero(sample["split"] == "test")[:3]
        arrays = {name: sample[name][chosen] for name in sample.files}
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "lidc_sample.npz", **arrays)
    description = (files("probseg.data") / "lidc_sample" / "dataset.yaml").read_text(encoding="utf-8")
    (tmp_path / "data" / "dataset.yaml").write_text(description, encoding="utf-8")
    out = tmp_path / "out"
    assert main(["predict", "--model", "lidc-small", str(tmp_path / "data"), "--out", str(out)]) == 0
    modes = [nib.load(path).get_fdata() for path in sorted(out.glob("*/mode.nii.gz"))]
    assert len(modes) == 3 and any(mode.any() for mode in modes)
