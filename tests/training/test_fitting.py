"""What a training does on its way: gathered gradients, clipping, compiled steps, precision, the record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from probseg.cli import main
from probseg.models import Deterministic
from probseg.training.precision import usable_precision

NETWORK = "--model.init_args.network.init_args"
# An image each for the norm, and every voxel rated: the loss of a batch is the mean of its images' losses.
PLAIN = (
    *(f"{NETWORK}.{word}" for word in ("channels=[4,8]", "norm=group", "dropout=0")),
    *("--data.transforms=[]", "--data.epoch_length=16", "--trainer.max_epochs=2", "--trainer.limit_val_batches=0"),
    *("--model.init_args.optimizer=torch.optim.SGD", "--model.init_args.optimizer.init_args.lr=0.1"),
    "--model.init_args.optimizer.init_args.weight_decay=0",
)


@pytest.mark.journey
@pytest.mark.filterwarnings("ignore::probseg.errors.ProbsegWarning")  # nothing is validated here
def test_gathered_gradients_equal_one_large_batch(fit_words, checkpoint_of, tmp_path: Path):
    runs = {"large": ("8", "1"), "gathered": ("2", "4")}
    weights = {}
    for name, (size, batches) in runs.items():
        gather = f"--trainer.accumulate_grad_batches={batches}"
        assert main(fit_words(tmp_path / name, *PLAIN, f"--data.batch_size={size}", gather)) == 0
        last = checkpoint_of(tmp_path / name)
        assert last["global_step"] == 4
        weights[name] = last["state_dict"]
    for name, value in weights["large"].items():
        torch.testing.assert_close(weights["gathered"][name], value, rtol=0, atol=1e-6)


@pytest.mark.journey
@pytest.mark.filterwarnings("ignore::probseg.errors.ProbsegWarning")
def test_clipping_bounds_the_step(fit_words, checkpoint_of, tmp_path: Path):
    """Plain gradient descent of rate r moves the weights by at most r times the bound a step, here r = 0.1 or less."""
    words = (*PLAIN, "--data.batch_size=8", "--trainer.gradient_clip_val=0.01", "--trainer.max_steps=1")
    still = "--model.init_args.optimizer.init_args.lr=0"
    weights = []
    for name, extra in (("still", still), ("moved", "--model.init_args.warmup=0")):
        assert main(fit_words(tmp_path / name, *words, extra)) == 0
        weights.append(checkpoint_of(tmp_path / name)["state_dict"])
    moved = sum(float((weights[1][k] - weights[0][k]).square().sum()) for k in weights[0]) ** 0.5
    assert moved == pytest.approx(0.1 * 0.01, rel=1e-3)


@pytest.mark.journey
def test_compiled_steps_change_no_name_and_hardly_a_weight(fit_words, checkpoint_of, tmp_path: Path, capsys):
    words = (*PLAIN, "--data.batch_size=8", "--trainer.max_steps=2", "--trainer.limit_val_batches=1")
    for name, extra in (("plain", ()), ("compiled", ("--compile=eager",))):
        assert main(fit_words(tmp_path / name, *words, *extra)) == 0
    plain, compiled = (checkpoint_of(tmp_path / name)["state_dict"] for name in ("plain", "compiled"))
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=0, atol=1e-6)
    capsys.readouterr()
    assert main(fit_words(tmp_path / "none", *words, "--compile=no_such_backend")) == 2
    assert capsys.readouterr().err.startswith("error: E_COMPILE: the network cannot be compiled; leave --compile out")
    assert not (tmp_path / "none").exists()


def test_bfloat16_only_where_the_hardware_has_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr("probseg.training.precision._processor_has_bf16", lambda has=has: has)
        assert usable_precision("bf16-mixed", "cpu") == expected
        assert usable_precision("bf16-mixed", "auto") == expected
        assert usable_precision("16-mixed", "cpu") == "16-mixed"
        assert usable_precision(32, "auto") == 32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has, expected in ((True, "bf16-true"), (False, "32-true")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert usable_precision("bf16-true", "auto") == usable_precision("bf16-true", "gpu") == expected


@pytest.mark.journey
def test_the_precision_that_was_used_is_told_and_recorded(fit_words, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("probseg.training.precision._processor_has_bf16", lambda: False)
    words = (*PLAIN, "--data.batch_size=8", "--trainer.max_steps=1", "--trainer.precision=bf16-mixed")
    assert main(fit_words(tmp_path / "run", *words, "--trainer.limit_val_batches=1")) == 0
    assert capsys.readouterr().out.startswith("precision is 32-true: this hardware has no bfloat16")
    assert json.loads((tmp_path / "run" / "training.json").read_text())["precision"] == "32-true"
    assert "precision: bf16-mixed" in (tmp_path / "run" / "config.yaml").read_text()


@pytest.mark.journey
def test_bfloat16_trains(fit_words, checkpoint_of, tmp_path: Path, monkeypatch):
    """Also where it is slow: activations are half, weights and what is summed up stay single."""
    monkeypatch.setattr("probseg.training.precision._processor_has_bf16", lambda: True)
    seen = []
    network = Deterministic.log_probs
    monkeypatch.setattr(
        Deterministic, "log_probs", lambda self, logits, dim: seen.append(logits.dtype) or network(self, logits, dim)
    )
    words = (*PLAIN, "--data.batch_size=8", "--trainer.max_steps=1", "--trainer.precision=bf16-mixed")
    assert main(fit_words(tmp_path / "run", *words, "--trainer.limit_val_batches=1")) == 0
    assert torch.bfloat16 in seen
    assert {v.dtype for v in checkpoint_of(tmp_path / "run")["state_dict"].values()} == {torch.float32}
