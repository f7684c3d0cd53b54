"""Fit, test and predict through the real command line: the hierarchy of latents, and the families made of another."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from probseg.cli import main
from probseg.distribution import Draws
from probseg.models import SWAG, HierarchicalUNet, TestTimeAugmentation, load_model

pytestmark = pytest.mark.journey

TINY = (
    "--trainer.max_epochs=1",
    "--trainer.limit_val_batches=1",
    "--trainer.callbacks=[]",
    "--data.batch_size=4",
    "--data.epoch_length=8",
    "--trainer.precision=32",
    "--trainer.enable_progress_bar=false",
)
MEMBER = "--model.init_args.member.init_args"
FAMILIES: dict[str, tuple[type, tuple[int, int], tuple[str, ...]]] = {
    # class, models and readings of 3 draws, and what makes it tiny
    "hierarchical_unet": (
        HierarchicalUNet,
        (1, 3),
        (
            "--model.init_args.network.init_args.channels=[4,8]",
            "--model.init_args.latents=[2,2]",
            "--model.init_args.widths=[4,4]",
            "--model.init_args.encoder_channels=[4]",
            "--trainer.max_steps=2",
        ),
    ),
    "swag": (
        SWAG,
        (3, 1),
        (
            f"{MEMBER}.network.init_args.channels=[4,8]",
            *("--model.init_args.start=0.0", "--model.init_args.snapshots=2", "--model.init_args.rank=2"),
            "--trainer.max_steps=2",
        ),
    ),
    "test_time_augmentation": (TestTimeAugmentation, (3, 1), (f"{MEMBER}.network.init_args.channels=[4,8]",)),
}


def configs(experiments: Path, family: str, own: Path | None = None) -> list[str]:
    files = (experiments / "trainer.yaml", experiments / "lidc_sample" / "data.yaml")
    return [w for p in (*files, own or experiments / "lidc_sample" / f"{family}.yaml") for w in ("-c", str(p))]


@pytest.fixture(scope="session")
def experiments(repository: Path) -> Path:
    return repository / "experiments"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, experiments: Path) -> Path:
    """One tiny fitted run a family, and the deterministic one that is augmented."""
    folder = tmp_path_factory.mktemp("runs")
    tiny = (*TINY, "--model.init_args.network.init_args.channels=[4,8]", "--trainer.max_steps=2")
    assert main(["fit", *configs(experiments, "deterministic"), *tiny, f"--out={folder / 'deterministic'}"]) == 0
    for family, (_, _, words) in FAMILIES.items():
        more = [f"{MEMBER}.warm_start={folder / 'deterministic'}"] if family == "test_time_augmentation" else []
        words = (*TINY, *words, *more, "--model.init_args.draws=3", f"--out={folder / family}")
        assert main(["fit", *configs(experiments, family), *words]) == 0, family
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 1)).astype(np.int16)
    nib.save(nib.Nifti1Image(image, np.diag([0.7, 0.7, 2.0, 1.0])), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


@pytest.mark.parametrize("family", FAMILIES)
def test_fit_test_and_predict(runs: Path, family: str, scan: Path, tmp_path: Path):
    run, (kind, axes, _) = runs / family, FAMILIES[family]
    assert main(["test", "-c", str(run / "config.yaml"), "--trainer.limit_test_batches=2"]) == 0
    with (run / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert {"ged_v", "nll", "ece"} <= set(rows) and {row["family"] for row in rows.values()} == {family}
    assert all(np.isfinite(float(row["value"])) for row in rows.values())
    assert main(["predict", str(run), str(scan), "--out", str(tmp_path / "out"), "--readings", "2"]) == 0
    summary = json.loads((tmp_path / "out" / "scan" / "summary.json").read_text(encoding="utf-8"))
    assert summary["draws"] == 3
    model = load_model(run)
    assert type(model) is kind
    with torch.no_grad():
        distribution = model(torch.rand(1, 1, 16, 16), Draws(3))
    assert (distribution.num_models, distribution.num_readings) == axes


def test_augmentation_trains_nothing_and_is_the_run_that_it_augments(runs: Path):
    record = json.loads((runs / "test_time_augmentation" / "training.json").read_text(encoding="utf-8"))
    assert record["steps"] == 0 and record["warm_start"] == str(runs / "deterministic")
    model, alone = load_model(runs / "test_time_augmentation"), load_model(runs / "deterministic")
    assert isinstance(model, TestTimeAugmentation)
    assert all(torch.equal(v, model.member.state_dict()[k]) for k, v in alone.state_dict().items())
    image = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(image, Draws(3)).logits[0], alone(image, Draws(1)).logits[0])
        again = TestTimeAugmentation.from_run(runs / "deterministic")
        assert torch.equal(again(image, Draws(3)).logits, model(image, Draws(3)).logits)
    assert again.draws == alone.draws and not again.training


@pytest.fixture
def refused(experiments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Fit with these words; returns the one line that says why not."""

    def run(family: str, *words: str, own: Path | None = None) -> str:
        out = f"--out={tmp_path / 'run'}"
        assert main(["fit", *configs(experiments, family, own), *TINY, *FAMILIES[family][2], *words, out]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run


def test_what_cannot_be_augmented_is_one_line(
    runs: Path, experiments: Path, tmp_path: Path, refused: Callable[..., str]
):
    start = f"{MEMBER}.warm_start"
    config = yaml.safe_load((experiments / "lidc_sample" / "test_time_augmentation.yaml").read_text(encoding="utf-8"))
    del config["model"]["init_args"]["member"]["init_args"]["warm_start"]
    (tmp_path / "untrained.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    line = refused("test_time_augmentation", own=tmp_path / "untrained.yaml")
    assert line.startswith("error: E_SCHEMA: ") and "needs a trained member" in line
    assert "E_FILE_MISSING" in refused("test_time_augmentation", f"{start}=nowhere")
    wider = (f"{start}={runs / 'deterministic'}", f"{MEMBER}.network.init_args.channels=[4,12]")
    assert "E_CLASS_MISMATCH" in refused("test_time_augmentation", *wider)


def test_what_would_lose_the_snapshots_is_one_line(refused: Callable[..., str]):
    stopping = yaml.safe_dump([{"class_path": "pytorch_lightning.callbacks.EarlyStopping"}], default_flow_style=True)
    assert "EarlyStopping" in refused("swag", f"--trainer.callbacks={stopping.strip()}")
    assert "validation/snapshots" in refused("swag", "--checkpoint.monitor=validation/nll", "--checkpoint.mode=min")
