"""One training, from its start or from where it was to the record that it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from probseg.errors import ProbsegError, warn
from probseg.io.atomic import write_text
from probseg.memory import keep_freed_memory
from probseg.models import SegmentationModule
from probseg.models.checkpoints import read_checkpoint
from probseg.training.last_checkpoint import LastCheckpoint
from probseg.training.stop_signals import TrainingStopped

__all__ = ["LastValidation", "Record", "fit_one", "require_same_model", "tell_what_is_kept"]


@dataclass(frozen=True)
class Record:
    """What ``training.json`` of a finished training says.

    Attributes:
        train_seconds: how long it took, interruptions left out.
        epochs, steps: how far it went; of all members together for an ensemble.
        seed: of the run.
        warm_start: what its weights began from.
        threads: of torch on the processor.
        precision: of the arithmetic.
    """

    train_seconds: float
    epochs: int
    steps: int
    seed: int | None
    warm_start: str | None
    threads: int
    precision: str

    @staticmethod
    def path(run: Path) -> Path:
        """Where it lies in a run folder."""
        return run / "training.json"

    @classmethod
    def read(cls, run: Path) -> dict[str, Any]:
        """That of a run folder; empty where it was never finished."""
        path = cls.path(run)
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def write(self, run: Path) -> None:
        """Put it into the run folder, which marks the run as finished."""
        write_text(self.path(run), json.dumps(asdict(self), indent=2) + "\n")


class LastValidation(Callback):
    """Remembers after which step the model was validated last."""

    step = -1

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Note the step."""
        self.step = trainer.global_step


def fit_one(
    trainer: Trainer, model: SegmentationModule, data: LightningDataModule, start: Path | None, seed: int | None
) -> Record:
    """Train until the trainer's limits, and keep the best weights although training ended inside an epoch.

    Args:
        trainer: with the callbacks of a run folder.
        model: to be trained.
        data: what it learns from.
        start: a checkpoint to go on from.
        seed: for the record.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by Trainer's connector
    if isinstance(trainer.accelerator, CPUAccelerator):
        keep_freed_memory()
    try:
        trainer.fit(model, datamodule=data, ckpt_path=start, weights_only=True)
    except RuntimeError as error:
        stopped_by = max((c.stopped_by for c in callbacks if isinstance(c, LastCheckpoint)), default=0)
        if stopped_by:  # a signal to all processes ended loaders before the training came to its next stop
            raise TrainingStopped(stopped_by, trainer.global_step) from error
        raise
    steps, epochs = trainer.global_step, trainer.current_epoch
    validated = max((c.step for c in callbacks if isinstance(c, LastValidation)), default=-1)
    if validated != steps:
        _validate_the_end(trainer, model, data)
    seconds = sum(c.seconds for c in callbacks if isinstance(c, LastCheckpoint))
    return Record(
        round(seconds, 1), epochs, steps, seed, model.warm_start, torch.get_num_threads(), str(trainer.precision)
    )


def _validate_the_end(trainer: Trainer, model: SegmentationModule, data: LightningDataModule) -> None:
    """A training that steps or time ended inside an epoch has not been validated since; its end counts too."""
    keeper = trainer.checkpoint_callback
    if not isinstance(keeper, ModelCheckpoint) or keeper.monitor is None or keeper.dirpath is None:
        return
    best = Path(keeper.dirpath) / "best.ckpt"
    figures = trainer.validate(model, datamodule=data, verbose=False)
    if not figures or keeper.monitor not in figures[0]:  # nothing was validated, or something of training is kept
        if not keeper.best_model_path:
            warn("W_NO_VALIDATION", f"{keeper.monitor} was never measured, so best.ckpt is the end of the training")
            trainer.save_checkpoint(best)
        return
    score, before = torch.tensor(float(figures[0][keeper.monitor])), keeper.best_model_score
    if before is None or (score < before if keeper.mode == "min" else score > before):
        trainer.save_checkpoint(best)


def require_same_model(start: Path, model: SegmentationModule) -> None:
    """A run goes on with the settings it began with.

    Raises:
        ProbsegError: E_SCHEMA with the first setting of the model that differs from the checkpoint's.
    """
    different = next(_differences(_stored(start), model.config or {}, "model"), None)
    if different is not None:
        raise ProbsegError(
            "E_SCHEMA", f"the run was begun with another {different}; give what it was, or another --out to begin anew"
        )


def tell_what_is_kept(start: Path, model: SegmentationModule) -> None:
    """Settings of the optimiser travel in the checkpoint; others that were given are without effect, and told."""
    kept = [name for name in _differences(_stored(start), model.config or {}, "model") if ".optimizer." in name]
    if kept:
        warn(
            "W_OPTIMIZER",
            f"{', '.join(kept)} stays as it is in '{start}'; for a new value begin a run with "
            f"--model.init_args.warm_start={start} instead of --ckpt_path",
        )


def _stored(start: Path) -> Any:
    return read_checkpoint(start)["probseg"].get("config") or {}


def _differences(a: Any, b: Any, name: str) -> Iterator[str]:
    """Names of the settings in which two configurations differ; what only one of them has does not count."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in a.keys() & b.keys():
            yield from _differences(a[key], b[key], f"{name}.{key}")
    elif a != b:
        yield name
