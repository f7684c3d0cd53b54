"""Every option of the first four families through the real command line: fit, then test of what was fitted."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from probseg.cli import main
from probseg.distribution import Draws
from probseg.models import load_model
from probseg.models.bounds import Geco, ImportanceWeightedBound
from probseg.networks import ConcreteDropout

pytestmark = pytest.mark.journey

TINY = (
    "--trainer.max_steps=2",
    "--trainer.max_epochs=1",
    "--trainer.limit_val_batches=1",
    "--trainer.callbacks=[]",
    "--trainer.log_every_n_steps=1",
    "--trainer.precision=32",
    "--data.batch_size=4",
    "--data.epoch_length=8",
    "--model.init_args.draws=3",
)
LOSSES = "probseg.models.losses"
BOUNDS = "probseg.models.bounds"
COMBINED = {
    "class_path": f"{LOSSES}.CombinedLoss",
    "init_args": {
        "losses": [
            {"class_path": f"{LOSSES}.CrossEntropyLoss", "init_args": {"class_weights": [1.0, 5.0]}},
            {"class_path": f"{LOSSES}.DiceLoss", "init_args": {"smooth": 0.5}},
            {"class_path": f"{LOSSES}.FocalLoss", "init_args": {"gamma": 1.5}},
            {"class_path": f"{LOSSES}.SoftLabelLoss"},
        ],
        "weights": [1.0, 0.5, 0.2, 0.1],
    },
}
GECO = {"class_path": f"{BOUNDS}.Geco", "init_args": {"tolerance": 60.0, "speed": 0.1}}
IMPORTANCE = {"class_path": f"{BOUNDS}.ImportanceWeightedBound", "init_args": {"samples": 2}}
UNET = "--model.init_args.network.init_args"
LATENT = ("--model.init_args.encoder_channels=[4,8]", "--model.init_args.hidden=4", f"{UNET}.channels=[4,8]")
# the family's file, further words, the terms that must be logged, and models and readings of three draws
OPTIONS: dict[str, tuple[str, tuple[str, ...], set[str], tuple[int, int]]] = {
    "objective": (
        "deterministic",
        (
            f"{UNET}.channels=[4,8,8]",
            f"{UNET}.deep_supervision=true",
            f"--model.init_args.objective={json.dumps(COMBINED)}",
        ),
        {"cross_entropy", "dice", "focal", "soft_label", "level_0", "level_1"},
        (1, 1),
    ),
    "concrete": (
        "monte_carlo_dropout",
        (f"{UNET}.channels=[4,8]", "--model.init_args.concrete=true"),
        {"concrete", "dropout"},
        (3, 1),
    ),
    "snapshots": (
        "snapshot_ensemble",
        ("--model.init_args.member.init_args.network.init_args.channels=[4,8]", "--model.init_args.cycles=2"),
        set(),
        (2, 1),
    ),
    "geco": (
        "probabilistic_unet",
        (*LATENT, f"--model.init_args.bound={json.dumps(GECO)}", "--model.init_args.pooling=mean_max"),
        {"multiplier", "constraint", "reconstruction", "kl", "active_units"},
        (1, 3),
    ),
    "importance": (
        "probabilistic_unet",
        (*LATENT, f"--model.init_args.bound={json.dumps(IMPORTANCE)}", "--model.init_args.covariance=full"),
        {"reconstruction", "kl", "active_units"},
        (1, 3),
    ),
}


def words_of(repository: Path, family: str) -> list[str]:
    experiments = repository / "experiments"
    files = (experiments / "trainer.yaml", *(experiments / "lidc_sample" / f"{n}.yaml" for n in ("data", family)))
    return ["fit", *(word for file in files for word in ("-c", str(file))), *TINY]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """One tiny fitted run an option."""
    folder = tmp_path_factory.mktemp("runs")
    for name, (family, words, _, _) in OPTIONS.items():
        assert main([*words_of(repository, family), *words, f"--out={folder / name}"]) == 0, name
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", OPTIONS)
def test_its_terms_are_logged(runs: Path, name: str):
    logged = rows_of(runs / name / "metrics.csv")
    values = {k: float(v) for row in logged for k, v in row.items() if k.startswith("train/") and v}
    assert {f"train/{term}" for term in ("loss", *OPTIONS[name][2])} <= set(values)
    assert all(math.isfinite(v) for v in values.values())


@pytest.mark.parametrize("name", OPTIONS)
def test_the_checkpoint_alone_makes_the_model_again(runs: Path, name: str, tmp_path: Path):
    alone = tmp_path / "alone.ckpt"  # without the config.yaml of its run, so of probseg's own classes only
    alone.write_bytes((runs / name / "checkpoints" / "best.ckpt").read_bytes())
    model = load_model(alone)
    with torch.no_grad():
        distribution = model(torch.rand(2, 1, 16, 16), Draws(3))
    assert (distribution.num_models, distribution.num_readings) == OPTIONS[name][3]
    if name == "concrete":
        learnt = [m.p for m in model.modules() if isinstance(m, ConcreteDropout)]
        assert len(learnt) == 3 and all(p != 0.1 for p in learnt)
    if name == "snapshots":
        assert int(model.taken) == 2
    if name == "geco":
        assert isinstance(model.bound, Geco) and model.bound.multiplier != 1
    if name == "importance":
        assert isinstance(model.bound, ImportanceWeightedBound) and model.bound.samples == 2


@pytest.mark.parametrize("name", ["snapshots", "concrete"])
def test_its_figures(runs: Path, name: str):
    assert main(["test", "-c", str(runs / name / "config.yaml"), "--trainer.limit_test_batches=1"]) == 0
    rows = {row["metric"]: row for row in rows_of(runs / name / "results.csv")}
    assert {"ged_v", "nll", "ece"} <= set(rows)


@pytest.mark.parametrize(
    ("family", "words", "message"),
    [
        (
            "deterministic",
            (
                f"--model.init_args.objective={LOSSES}.DiceLoss",
                "--model.init_args.objective.init_args.class_weights=[1,2,3]",
            ),
            "E_CLASS_MISMATCH: class_weights of DiceLoss are 3, but the label set has 2 classes",
        ),
        ("monte_carlo_dropout", ("--model.init_args.data_size=9",), "E_SCHEMA: weight_prior and data_size are for con"),
        (
            "snapshot_ensemble",
            ("--checkpoint.monitor=validation/nll",),
            "set --checkpoint.monitor=validation/snapshots",
        ),
        (
            "probabilistic_unet",
            ("--model.init_args.covariance=banded",),
            "E_SCHEMA: covariance must be one of diagonal",
        ),
        (
            "probabilistic_unet",
            (f"{UNET}.deep_supervision=true",),
            "E_SCHEMA: ProbabilisticUNet trains the finest level",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(
    repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    family: str,
    words: tuple[str, ...],
    message: str,
):
    assert main([*words_of(repository, family), *words, f"--out={tmp_path / 'run'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
