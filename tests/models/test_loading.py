"""Models built again; a checkpoint names nothing to import but our own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import yaml

from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.models import Ensemble, MonteCarloDropout, load_model
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model

UNET = {"class_path": "probseg.networks.UNet", "init_args": {"num_classes": 3, "channels": [4, 8], "dropout": 0.1}}
DETERMINISTIC = {"class_path": "probseg.models.Deterministic", "init_args": {"network": UNET}}


def written(config: dict, info, run: Path, in_yaml: dict | None = None) -> Path:
    """A run folder whose checkpoint says ``config`` and holds the weights of a plain deterministic network."""
    state = build_model(DETERMINISTIC).state_dict()
    (run / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": state, "probseg": describe(info, config)}, run / "checkpoints" / "best.ckpt")
    if in_yaml is not None:
        (run / "config.yaml").write_text(yaml.safe_dump({"model": in_yaml}), encoding="utf-8")
    return run


def test_round_trip(info, tmp_path: Path):
    config = {
        "class_path": "probseg.models.Ensemble",
        "init_args": {"member": {**DETERMINISTIC, "class_path": "probseg.models.MonteCarloDropout"}, "size": 2},
    }
    model = build_model(config).eval()
    assert isinstance(model, Ensemble) and isinstance(model.members[1], MonteCarloDropout)
    model.bind(info)
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": model.state_dict(), "probseg": describe(info, model.config)}, path)
    again = load_model(path)
    assert again.info == info
    assert torch.equal(again.admissible, torch.from_numpy(info.labels.admissible))
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(again(image, Draws(4)).logits, model(image, Draws(4)).logits)


@pytest.mark.parametrize(
    "config",
    [
        {"class_path": "antigravity.Model"},
        {**DETERMINISTIC, "init_args": {"network": {"class_path": "antigravity.Net"}}},
        {**DETERMINISTIC, "init_args": {"network": "antigravity.Net"}},
        {**DETERMINISTIC, "init_args": {"network": "{class_path: antigravity.Net}"}},
        {**DETERMINISTIC, "init_args": {"network": UNET, "optimizer": "antigravity.fly"}},
        {**DETERMINISTIC, "init_args": {"network": UNET, "target": ["antigravity.fly"]}},
        {**DETERMINISTIC, "init_args": {"network": UNET, "warm_start": {"class_path": "antigravity.fly"}}},
    ],
)
def test_a_foreign_class_is_not_imported(config, info, tmp_path: Path):
    run = written(config, info, tmp_path / "run")
    with pytest.raises(ProbsegError, match="E_UNSAFE_CHECKPOINT"):
        load_model(run)
    assert "antigravity" not in sys.modules


def test_a_foreign_class_that_the_users_config_names_is_used(info, tmp_path: Path):
    network = {
        "class_path": "monai.networks.nets.BasicUNet",
        "init_args": {"spatial_dims": 2, "out_channels": 3, "features": [4, 4, 4, 4, 4, 4]},
    }
    config = {"class_path": "probseg.models.Deterministic", "init_args": {"network": network}}
    model = build_model(config)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": model.state_dict(), "probseg": describe(info, config)}, run / "checkpoints" / "best.ckpt")
    with pytest.raises(ProbsegError, match="E_UNSAFE_CHECKPOINT"):
        load_model(run)
    (run / "config.yaml").write_text(yaml.safe_dump({"model": DETERMINISTIC}), encoding="utf-8")
    with pytest.raises(ProbsegError, match="E_UNSAFE_CHECKPOINT"):
        load_model(run)
    (run / "config.yaml").write_text(yaml.safe_dump({"model": config}), encoding="utf-8")
    assert type(load_model(run).network).__name__ == "BasicUNet"


def test_what_does_not_say_how_it_is_built(info, tmp_path: Path):
    path = tmp_path / "a.ckpt"
    for described in ({"info": info.to_dict()}, {"info": None, "config": DETERMINISTIC}):
        torch.save({"state_dict": {}, "probseg": described}, path)
        with pytest.raises(ProbsegError, match="E_CORRUPT_CHECKPOINT"):
            load_model(path)
    with pytest.raises(ProbsegError, match="E_FILE_MISSING"):
        load_model(tmp_path / "nowhere")


def test_settings_that_no_model_has(info, tmp_path: Path):
    wrong = {**DETERMINISTIC, "init_args": {"network": UNET, "depth": 3}}
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        load_model(written(wrong, info, tmp_path / "run"))
