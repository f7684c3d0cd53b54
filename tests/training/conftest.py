"""A training of a second or two through the real command line, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from probseg.cli import main
from probseg.models import Deterministic

TINY = (
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.callbacks=[]",
    "--trainer.log_every_n_steps=1",
    "--trainer.limit_val_batches=1",
    "--data.crop=[16,16]",
    "--model.init_args.draws=2",
)
LOSS = Deterministic.loss


@pytest.fixture(scope="session")
def fit_words(repository: Path) -> Callable[..., list[str]]:
    """``fit`` of a small network on the bundled sample into a folder; further words go last."""

    def make(out: Path, *words: str, family: str = "deterministic") -> list[str]:
        experiments = repository / "experiments"
        return [
            *("fit", "-c", str(experiments / "trainer.yaml"), "-c", str(experiments / "lidc_sample" / "data.yaml")),
            *("-c", str(experiments / "lidc_sample" / f"{family}.yaml"), *TINY, f"--out={out}", *words),
        ]

    return make


@pytest.fixture(scope="session")
def random_words() -> tuple[str, ...]:
    """Five batches an epoch, three epochs, with all that is drawn at random and all that is carried along."""
    network = "--model.init_args.network.init_args"
    return (
        *("--data.batch_size=4", "--data.epoch_length=20", "--trainer.max_epochs=3"),
        *("--model.init_args.target=probseg.models.RandomRater", f"{network}.channels=[4,8]", f"{network}.dropout=0.2"),
        *("--trainer.callbacks+=probseg.training.MovingAverage", "--trainer.callbacks.init_args.decay=0.9"),
    )


@pytest.fixture(scope="session")
def whole(
    fit_words: Callable[..., list[str]], random_words: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A training that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(fit_words(run, *random_words)) == 0
    return run


@pytest.fixture(scope="session")
def checkpoint_of() -> Callable[..., dict[str, Any]]:
    """Reads a checkpoint of a run folder."""

    def read(run: Path, name: str = "last") -> dict[str, Any]:
        return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)

    return read


@pytest.fixture(scope="session")
def assert_same_training(checkpoint_of: Callable[..., dict[str, Any]]) -> Callable[[Path, Path], None]:
    """Two run folders hold the same training: weights, averages, optimiser, rate and log, bit for bit."""

    def compare(a: Path, b: Path) -> None:
        first, second = checkpoint_of(a), checkpoint_of(b)
        average = "MovingAverage"
        for x, y in (
            (first["state_dict"], second["state_dict"]),
            (first["callbacks"][average]["trained"], second["callbacks"][average]["trained"]),
            (checkpoint_of(a, "best")["state_dict"], checkpoint_of(b, "best")["state_dict"]),
        ):
            assert x.keys() == y.keys()
            assert all(torch.equal(x[name], y[name]) for name in x)
        moments, others = (c["optimizer_states"][0]["state"] for c in (first, second))
        assert moments.keys() == others.keys()
        assert all(torch.equal(moments[k][name], others[k][name]) for k in moments for name in moments[k])
        for name in ("global_step", "epoch"):
            assert first[name] == second[name]
        assert first["lr_schedulers"][0]["_last_lr"] == second["lr_schedulers"][0]["_last_lr"]
        assert (a / "metrics.csv").read_bytes() == (b / "metrics.csv").read_bytes()

    return compare


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], Any]], None]:
    """Let something happen in the middle of the n-th step from now on; a number that it returns becomes the loss."""

    def arrange(number: int, act: Callable[[], Any]) -> None:
        left = [number]

        def with_incident(self: Deterministic, batch: Any) -> dict[str, torch.Tensor]:
            left[0] -= 1
            changed = act() if left[0] == 0 else None
            terms = LOSS(self, batch)
            return terms if changed is None else {"loss": terms["loss"] * changed}

        monkeypatch.setattr(Deterministic, "loss", with_incident)

    return arrange
