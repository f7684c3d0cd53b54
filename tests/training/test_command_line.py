"""The training journeys: the four families through the real command line, and every way to get it wrong."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from probseg.analysis.volume_scores import HEADLINE_FIGURES
from probseg.cli import main
from probseg.family import family_name
from probseg.models import load_model

pytestmark = pytest.mark.journey

FAMILIES = ("deterministic", "monte_carlo_dropout", "ensemble", "probabilistic_unet")
TINY = (
    "--trainer.max_steps=2",
    "--trainer.max_epochs=1",
    "--trainer.limit_val_batches=1",
    "--trainer.callbacks=[]",
    "--data.batch_size=4",
    "--data.epoch_length=8",
)
FIGURES = {
    *("ged_v", "ged_u", "ged_floor", "hm_iou", "d_max", "d_match", "diversity", "rater_diversity"),
    *("dice", "iou", "soft_dice", "log_likelihood", "nll_image", "ncc", "ece", "mce", "brier", "nll"),
    *("ece_image", "mce_image", "brier_image", "ace", "ace_image", "aurc", "excess_aurc"),
    *HEADLINE_FIGURES,
}
POOLED = {
    *("ece", "mce", "ece_image", "mce_image", "ace", "ace_image", "aurc", "excess_aurc", "volume_bias"),
    *(name for name in HEADLINE_FIGURES if name.startswith("coverage_")),
}
"""Figures of all trials together."""


def words_of(experiments: Path, family: str) -> list[str]:
    network = "model.init_args.member.init_args.network" if family == "ensemble" else "model.init_args.network"
    extra = {
        "ensemble": ["--model.init_args.size=2"],
        "probabilistic_unet": ["--model.init_args.encoder_channels=[4,8]", "--model.init_args.hidden=4"],
    }
    return [
        *("-c", str(experiments / "trainer.yaml"), "-c", str(experiments / "lidc_sample" / "data.yaml")),
        *("-c", str(experiments / "lidc_sample" / f"{family}.yaml")),
        *TINY,
        f"--{network}.init_args.channels=[4,8]",
        "--model.init_args.draws=3",
        *extra.get(family, []),
    ]


@pytest.fixture(scope="session")
def experiments(repository: Path) -> Path:
    return repository / "experiments"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, experiments: Path) -> Path:
    """A folder with one tiny fitted run a family."""
    folder = tmp_path_factory.mktemp("runs")
    for family in FAMILIES:
        assert main(["fit", *words_of(experiments, family), f"--out={folder / family}"]) == 0
    return folder


@pytest.fixture
def fit(experiments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Fit a deterministic network with further words; returns the exit status and what stood on stderr."""

    def run(*words: str) -> tuple[int, str]:
        status = main(["fit", *words_of(experiments, "deterministic"), f"--out={tmp_path / 'run'}", *words])
        return status, capsys.readouterr().err

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def assert_one_error(status: int, stderr: str, code: str) -> None:
    """Exit status 2 and exactly one line, which says what is wrong."""
    assert status == 2
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith(f"error: {code}: ")


@pytest.mark.parametrize("family", FAMILIES)
def test_fit_leaves_a_whole_run_folder(runs: Path, family: str):
    run = runs / family
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert family_name(config["model"]["class_path"]) == family
    for name in ("best.ckpt", "last.ckpt"):
        assert set(torch.load(run / "checkpoints" / name, weights_only=True)) >= {"state_dict", "probseg"}
    logged = run / "members" / "1" if family == "ensemble" else run
    names = set().union(*(row.keys() for row in rows_of(logged / "metrics.csv")))
    assert {f"validation/{f}" for f in FIGURES} <= names
    record = json.loads((run / "training.json").read_text(encoding="utf-8"))
    assert record["steps"] == (4 if family == "ensemble" else 2)
    assert record["train_seconds"] > 0


def test_the_members_of_an_ensemble_are_runs_of_their_own_seed_and_make_up_its_weights(runs: Path):
    states = [
        torch.load(runs / "ensemble" / "members" / k / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for k in "01"
    ]
    weight = "network.classify.weight"
    assert not torch.equal(states[0][weight], states[1][weight])
    whole = load_model(runs / "ensemble").state_dict()
    for k, state in enumerate(states):
        assert all(torch.equal(whole[f"members.{k}.{name}"], value) for name, value in state.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_validate_and_test_of_a_run_from_any_directory(
    runs: Path, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run = runs / family
    kept = {name: (run / name).read_bytes() for name in ("config.yaml",)}
    logged = run / "metrics.csv"
    before = logged.read_bytes() if logged.exists() else None
    monkeypatch.chdir(tmp_path)
    assert main(["validate", f"--config={run / 'config.yaml'}"]) == 0
    assert {r["metric"] for r in rows_of(run / "validation.csv")} == FIGURES
    assert main(["test", "-c", str(run / "config.yaml")]) == 0
    out = capsys.readouterr().out
    assert "next: probseg report" in out
    assert not any(tmp_path.iterdir()), "a run writes into its own folder only"
    assert {name: (run / name).read_bytes() for name in kept} == kept, "validate and test leave the config alone"
    assert (logged.read_bytes() if logged.exists() else None) == before, "the training's log is kept"

    results = {r["metric"]: r for r in rows_of(run / "results.csv")}
    assert set(results) == FIGURES
    cases = rows_of(run / "test" / "cases.csv")
    assert {r["family"] for r in results.values()} == {family}
    for name, row in results.items():
        values = [float(c[name]) for c in cases if c[name]]
        if not row["value"]:  # a single draw has no interval of volumes
            assert family == "deterministic" and name.startswith(("coverage_", "width_")) and not values
            continue
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
        if name not in POOLED:  # every other figure is a mean over the cases where it is defined
            assert int(row["n"]) == len(values)
            assert np.mean(values) == pytest.approx(float(row["value"]), rel=1e-4, abs=1e-6)
    bins = rows_of(run / "test" / "reliability.csv")
    assert len(bins) == 15
    assert all((row["confidence"] == "") == (row["count"] == "0") for row in bins)
    ece = sum(
        int(r["count"]) * abs(float(r["confidence"]) - float(r["frequency"])) for r in bins if r["confidence"]
    ) / sum(int(r["count"]) for r in bins)
    assert ece == pytest.approx(float(results["ece"]["value"]), rel=1e-4)

    summary = json.loads((run / "test" / "summary.json").read_text(encoding="utf-8"))
    assert summary["family"] == family
    assert summary["cases"] == len(cases)
    assert summary["patients"] == len({c["patient_id"] for c in cases})
    assert summary["draws"] == {"deterministic": 1, "ensemble": 2}.get(family, 3)
    assert summary["raters_max"] == 4
    assert summary["command"].startswith("probseg test -c")
    assert summary["epochs"] >= 1
    with np.load(run / "test" / "examples.npz") as arrays:
        entropy = arrays["entropy"].astype(np.float32)
        parts = sum(arrays[name].astype(np.float32) for name in ("epistemic", "ambiguity", "noise"))
        assert np.abs(entropy - parts).max() < 2e-3  # they are kept in half precision
        count, *space = entropy.shape
        assert arrays["masks"].shape == (count, 4, *space)
        assert arrays["readings"].shape == (count, 8, *space)
        assert arrays["mean"].shape == (count, 2, *space)
        assert 0 <= arrays["image"].min() <= arrays["image"].max() <= 1
        assert set(arrays["case_id"]) <= {c["case_id"] for c in cases}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_loaded_from_its_run_gives_the_same_distribution(runs: Path, family: str):
    first, second = load_model(runs / family), load_model(runs / family / "checkpoints" / "best.ckpt")
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = first(image, first.draws), second(image, second.draws)
    assert not first.training
    assert torch.equal(a.logits, b.logits)
    models, readings = {
        "deterministic": (1, 1),
        "monte_carlo_dropout": (3, 1),
        "ensemble": (2, 1),
        "probabilistic_unet": (1, 3),
    }[family]
    assert a.logits.shape == (models, readings, 2, 2, 64, 64)


def test_a_run_is_not_written_over_unless_asked_and_then_leaves_no_stale_figures(fit, tmp_path: Path):
    run = tmp_path / "run"
    assert fit() == (0, "")
    assert main(["test", "-c", str(run / "config.yaml"), "--trainer.limit_test_batches=1"]) == 0
    weights = (run / "checkpoints" / "best.ckpt").read_bytes()
    status, stderr = fit()
    assert_one_error(status, stderr, "E_OUTPUT_EXISTS")
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == weights
    (run / "notes.txt").write_text("mine")
    assert fit("--overwrite=true", "--seed_everything=5") == (0, "")
    assert (run / "checkpoints" / "best.ckpt").read_bytes() != weights
    assert not (run / "results.csv").exists()
    assert not (run / "test").exists()
    assert (run / "notes.txt").read_text() == "mine"


def test_a_run_goes_on_from_its_last_checkpoint(fit, tmp_path: Path):
    run = tmp_path / "run"
    assert fit()[0] == 0
    status, stderr = fit(
        f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}", "--trainer.max_steps=4", "--trainer.max_epochs=3"
    )
    assert (status, stderr) == (0, "")
    assert json.loads((run / "training.json").read_text())["steps"] == 4


def test_another_optimizer_has_its_own_settings(tmp_path: Path, capsys):
    """AdamW, which is meant where none is named, hands its weight decay on to nothing."""
    config = tmp_path / "config.yaml"
    network = {"class_path": "probseg.networks.UNet", "init_args": {"in_channels": 1, "num_classes": 2}}
    settings: dict = {"network": network, "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}}}
    model = {"class_path": "probseg.models.Deterministic", "init_args": settings}
    config.write_text(yaml.safe_dump({"data": {"root": "lidc-sample"}, "model": model}))
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "-c", str(config), f"--out={tmp_path / 'run'}", "--print_config"])
    found = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["optimizer"]
    assert found["class_path"] == "torch.optim.Adam"
    assert (found["init_args"]["lr"], found["init_args"]["weight_decay"]) == (0.01, 0)


def test_warm_start_takes_the_trunk_of_another_family(runs: Path, experiments: Path, tmp_path: Path, capsys):
    start = runs / "deterministic" / "checkpoints" / "best.ckpt"
    words = [*words_of(experiments, "probabilistic_unet"), f"--model.init_args.warm_start={start}"]
    rate = "--model.init_args.optimizer.init_args.lr=0"
    assert main(["fit", *words, rate, f"--out={tmp_path / 'run'}"]) == 0
    assert capsys.readouterr().err == ""
    trunk = torch.load(start, weights_only=True)["state_dict"]["network.classify.weight"]
    assert torch.equal(load_model(tmp_path / "run").state_dict()["network.classify.weight"], trunk)
    assert json.loads((tmp_path / "run" / "training.json").read_text())["warm_start"] == str(start)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--trainer.max_epoch=3"], "E_SCHEMA"),
        (["--trainer.max_epochs=three"], "E_SCHEMA"),
        (["--data.root=nowhere/at/all"], "E_FILE_MISSING"),
        (["--model=torch.nn.Linear"], "E_SCHEMA"),
        (["--trainer.callbacks+=probseg.models.RandomRater"], "E_SCHEMA"),
        (["--model.init_args.network.init_args.num_classes=3"], "E_CLASS_MISMATCH"),
        (["--model.init_args.network.init_args.in_channels=3"], "E_SHAPE_MISMATCH"),
        (["--model.init_args.network.init_args.dimensions=3"], "E_SHAPE_MISMATCH"),
        (["--model.init_args.optimizer.init_args.lr=-0.1"], "E_SCHEMA"),
        (["--model.init_args.warmup=1.5"], "E_SCHEMA"),
        (["--model.init_args.draws=0"], "E_SCHEMA"),
        (["--model.init_args.warm_start=nowhere.ckpt"], "E_FILE_MISSING"),
        (["--ckpt_path=nowhere.ckpt"], "E_FILE_MISSING"),
        (["--trainer.accelerator=quantum"], "E_SCHEMA"),
        (["--trainer.enable_checkpointing=false"], "E_SCHEMA"),
        (["--trainer.callbacks.init_args.mode=up"], "E_SCHEMA"),
        (["--data.crop=[0,8]"], "E_SCHEMA"),
        (["--data.crop=[8]"], "E_SCHEMA"),
        (["--data.num_workers=-1"], "E_SCHEMA"),
        (["--data.slices=true"], "E_SCHEMA"),
        (["--data.batch_size=0"], "E_SCHEMA"),
        (["--data.sites=[nowhere]"], "E_UNKNOWN_SITE"),
        (["-c", "nowhere.yaml"], "E_SCHEMA"),
    ],
)
def test_a_wrong_setting_is_one_line_and_leaves_nothing(fit, tmp_path: Path, words: list[str], code: str):
    assert_one_error(*fit(*words), code)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("trainer: {max_epoch: 3}\n", "E_SCHEMA"),
        ("trainer: {max_epochs: three}\n", "E_SCHEMA"),
        ("model: {class_path: torch.nn.Linear}\n", "E_SCHEMA"),
        ("model: {class_path: nowhere.Model}\n", "E_SCHEMA"),
        ("trainer: [unclosed\n", "E_PARSE"),
        ("trainer: !!python/object/apply:os.mkdir [made-by-yaml]\n", "E_PARSE"),
    ],
)
def test_a_wrong_config_file_is_one_line(fit, tmp_path: Path, monkeypatch, text: str, code: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "extra.yaml").write_text(text, encoding="utf-8")
    assert_one_error(*fit("-c", "extra.yaml"), code)
    assert [p.name for p in tmp_path.iterdir()] == ["extra.yaml"]


def test_missing_arguments_are_one_line(capsys):
    status = main(["fit"])
    assert_one_error(status, capsys.readouterr().err, "E_SCHEMA")


def test_a_checkpoint_of_another_kind_is_refused(runs: Path, fit, tmp_path: Path, capsys):
    other = runs / "probabilistic_unet" / "checkpoints" / "best.ckpt"
    words = ["test", "-c", str(runs / "deterministic" / "config.yaml"), f"--ckpt_path={other}"]
    status = main(words)
    assert_one_error(status, capsys.readouterr().err, "E_CLASS_MISMATCH")
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, foreign)
    assert_one_error(main([*words[:-1], f"--ckpt_path={foreign}"]), capsys.readouterr().err, "E_CORRUPT_CHECKPOINT")
    assert_one_error(*fit(f"--ckpt_path={foreign}"), "E_CORRUPT_CHECKPOINT")
    assert_one_error(*fit(f"--model.init_args.warm_start={foreign}"), "E_CLASS_MISMATCH")  # weights, none of which fits


def test_a_class_that_a_checkpoint_names_is_not_imported(runs: Path, tmp_path: Path, capsys):
    good = torch.load(runs / "deterministic" / "checkpoints" / "best.ckpt", weights_only=True)
    bad = tmp_path / "bad.ckpt"
    torch.save({**good, "hyper_parameters": {"_class_path": "antigravity.Model"}}, bad)
    words = ["validate", "-c", str(runs / "deterministic" / "config.yaml"), f"--ckpt_path={bad}"]
    assert main([*words, f"--out={tmp_path / 'other'}"]) == 2
    assert "antigravity" not in sys.modules
    assert capsys.readouterr().err.startswith("error: E_UNSAFE_CHECKPOINT: ")


def test_without_validation_the_end_of_the_training_is_kept_and_said_so(fit, tmp_path: Path):
    status, stderr = fit("--trainer.limit_val_batches=0")
    assert status == 0
    assert stderr.splitlines() == [
        "warning: W_NO_VALIDATION: validation/nll was never measured, so best.ckpt is the end of the training"
    ]
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_one_epoch_is_validated_although_the_trainer_validates_every_second(fit, tmp_path: Path):
    assert fit("--trainer.max_steps=-1", "--trainer.check_val_every_n_epoch=2")[0] == 0
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()
    rows = rows_of(tmp_path / "run" / "metrics.csv")
    assert math.isfinite(float(rows[-1]["validation/nll"]))


def test_the_same_seed_gives_the_same_weights(experiments: Path, runs: Path, tmp_path: Path):
    def weights(run: Path) -> dict[str, torch.Tensor]:
        return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    for seed in "01":
        words = [*words_of(experiments, "probabilistic_unet"), f"--out={tmp_path / seed}", f"--seed_everything={seed}"]
        assert main(["fit", *words]) == 0
    reference = weights(runs / "probabilistic_unet")
    assert all(torch.equal(v, reference[k]) for k, v in weights(tmp_path / "0").items())
    assert any(not torch.equal(v, reference[k]) for k, v in weights(tmp_path / "1").items())


def test_wandb_without_a_network_goes_on_offline(fit, tmp_path: Path, monkeypatch):
    import socket

    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    status, stderr = fit("--wandb=trial")
    assert status == 0
    assert [line for line in stderr.splitlines() if line.startswith("warning:")] == [
        "warning: W_WANDB_OFFLINE: Weights & Biases cannot be reached; "
        "the run is logged offline, sync it with wandb sync"
    ]
    assert "Traceback" not in stderr
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()
    assert list(tmp_path.rglob("*.wandb"))
    assert (tmp_path / "run" / "config.yaml").is_file()


def test_two_processes_measure_what_one_does(runs: Path, tmp_path: Path):
    """``test`` over gloo; the sample's splits do not divide evenly over batches of two processes."""
    run = runs / "probabilistic_unet"
    words = ["-c", str(run / "config.yaml"), "--trainer.precision=32", "--data.batch_size=5"]
    assert main(["test", *words]) == 0
    alone = rows_of(run / "results.csv")
    (run / "results.csv").unlink()
    two = ["--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "probseg", "test", *words, *two],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "recommended" not in done.stderr, "Lightning's advice on repeats and syncing does not concern us"
    assert done.stdout.count("wrote") == 1
    together = rows_of(run / "results.csv")
    assert [r["metric"] for r in together] == [r["metric"] for r in alone]
    for a, b in zip(alone, together, strict=True):
        for name in ("value", "low", "high", "n"):
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-5, abs=1e-6), (a["metric"], name)


def test_family_names():
    names = ("Deterministic", "MonteCarloDropout", "Ensemble", "ProbabilisticUNet")
    assert tuple(family_name(f"probseg.models.{n}") for n in names) == FAMILIES
