"""Networks of other libraries, and weights of other programs, through the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from probseg.cli import main
from probseg.distribution import Draws
from probseg.models import ProbabilisticUNet, load_model
from probseg.networks import L3UNet

pytestmark = pytest.mark.journey

TINY = (
    "--trainer.max_steps=1",
    "--trainer.limit_val_batches=1",
    "--data.batch_size=2",
    "--data.epoch_length=2",
    "--data.transforms=[]",
    "--trainer.precision=32",
    "--trainer.enable_progress_bar=false",
    "--model.init_args.draws=2",
)


@pytest.fixture(scope="module")
def experiments(repository: Path) -> Path:
    return repository / "experiments"


def family(path: Path, name: str, network: dict, **settings) -> str:
    """A family's config with another network."""
    model = {"class_path": f"probseg.models.{name}", "init_args": {"network": network, **settings}}
    path.write_text(yaml.safe_dump({"model": model}))
    return str(path)


def fit(experiments: Path, config: str, run: Path, *words: str) -> int:
    files = (experiments / "trainer.yaml", experiments / "lidc_sample" / "data.yaml", config)
    return main(["fit", *(w for f in files for w in ("-c", str(f))), *TINY, f"--out={run}", *words])


def test_a_network_of_monai_by_its_class_path(tmp_path: Path, experiments: Path):
    inner = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": [4] * 6}
    config = family(
        tmp_path / "monai.yaml", "Deterministic", {"class_path": "monai.networks.nets.BasicUNet", "init_args": inner}
    )
    run = tmp_path / "run"
    assert fit(experiments, config, run) == 0
    assert main(["test", "-c", str(run / "config.yaml"), "--trainer.limit_test_batches=1"]) == 0
    assert "ged_v" in (run / "results.csv").read_text()
    volume = nib.Nifti1Image(np.random.default_rng(0).normal(-500, 100, (32, 32, 1)).astype(np.float32), np.eye(4))
    nib.save(volume, tmp_path / "scan.nii.gz")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(tmp_path / "scan.nii.gz"), f"--out={out}", "--format=nifti"]) == 0
    assert nib.load(out / "scan" / "mode.nii.gz").shape == (32, 32, 1)


def test_a_network_of_monai_with_a_latent_variable(tmp_path: Path, experiments: Path):
    inner = {"spatial_dims": 2, "in_channels": 1, "out_channels": 5, "features": [4] * 6}
    network = {
        "class_path": "probseg.networks.Adapted",
        "init_args": {
            "network": {"class_path": "monai.networks.nets.BasicUNet", "init_args": inner},
            "feature_channels": 5,
            "num_classes": 2,
        },
    }
    config = family(tmp_path / "p.yaml", "ProbabilisticUNet", network, encoder_channels=[4], hidden=4, latent=2)
    assert fit(experiments, config, tmp_path / "run") == 0
    model = load_model(tmp_path / "run")
    assert isinstance(model, ProbabilisticUNet)
    assert model(torch.rand(1, 1, 32, 32), Draws(3)).logits.shape == (1, 3, 1, 2, 32, 32)


# The five levels of the published U-Net, with few channels.
NARROW = {
    "class_path": "probseg.networks.L3UNet",
    "init_args": {"num_classes": 2, "channels": [3, 4, 5, 6, 6], "window_hu": [-1000.0, 50.0]},
}


def narrow(*channels: int) -> L3UNet:
    """With the study's five groups; of the widths of ``NARROW`` unless given."""
    torch.manual_seed(0)
    return L3UNet(1, 5, channels or tuple(NARROW["init_args"]["channels"]))


def test_training_starts_from_a_published_checkpoint_of_the_study(tmp_path: Path, experiments: Path, capsys):
    study = narrow()
    moments = torch.optim.Adam(study.parameters()).state_dict()
    torch.save({"model": study.state_dict(), "optimizer": moments, "loss": 0.5}, tmp_path / "l3net.pth")
    config = family(tmp_path / "l3.yaml", "Deterministic", NARROW)
    run = tmp_path / "run"
    words = (
        f"--model.init_args.warm_start={tmp_path / 'l3net.pth'}",
        "--model.init_args.optimizer.class_path=torch.optim.SGD",
        "--model.init_args.optimizer.init_args.lr=0.0",
    )
    assert fit(experiments, config, run, *words) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: W_WARM_START: 2 of the 128 weights")
    trained = load_model(run).network.state_dict()
    assert all(torch.equal(v, trained[k]) for k, v in study.state_dict().items() if v.ndim == 4 and "outc" not in k)
    assert json.loads((run / "training.json").read_text())["warm_start"].endswith("l3net.pth")


def test_another_layout_than_that_of_the_study_is_refused_in_one_line(tmp_path: Path, experiments: Path, capsys):
    """Of other widths, of which counters and biases would fit; under other names; elsewhere in the file."""
    config = family(tmp_path / "l3.yaml", "Deterministic", NARROW)
    weights = narrow().state_dict()
    for content, refusal in (
        ({"model": narrow(7, 8, 9, 10, 10).state_dict()}, "E_CLASS_MISMATCH: none of the 128 weights"),
        ({"model": {f"encoder.{k}": v for k, v in enumerate(weights.values())}}, "E_CLASS_MISMATCH: none of the 128"),
        ({"weights": weights, "optimizer": {}}, "E_CORRUPT_CHECKPOINT: "),
    ):
        torch.save(content, tmp_path / "start.ckpt")
        words = (f"--model.init_args.warm_start={tmp_path / 'start.ckpt'}",)
        assert fit(experiments, config, tmp_path / "run", *words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {refusal}") and not (tmp_path / "run").exists()
