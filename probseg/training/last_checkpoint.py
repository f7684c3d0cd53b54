"""A checkpoint every few minutes, so that a training that was killed goes on from there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from probseg.errors import ProbsegError

__all__ = ["LastCheckpoint"]


class LastCheckpoint(Checkpoint):
    """Keeps ``last.ckpt`` at the end of every epoch and, inside an epoch, after ``minutes`` without one.

    Args:
        dirpath: the folder of checkpoints.
        minutes: between two checkpoints inside an epoch; 0 for one after every step.
    """

    def __init__(self, dirpath: str | None = None, minutes: float = 5.0) -> None:
        super().__init__()
        if not minutes >= 0:
            raise ProbsegError("E_SCHEMA", f"minutes of the last checkpoint must be at least 0, but is {minutes}")
        self.dirpath = dirpath
        self.minutes = minutes
        self._saved = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock starts."""
        self._saved = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Save when it is time, unless the epoch or a validation ends here, where the loop is between two states."""
        due = time.monotonic() - self._saved >= 60 * self.minutes
        if trainer.world_size > 1:
            due = trainer.strategy.broadcast(due)
        fit = trainer.fit_loop
        assert fit._data_fetcher is not None
        between = fit.epoch_loop._num_ready_batches_reached() or fit.epoch_loop._should_check_val_fx(fit._data_fetcher)
        if due and not between:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save."""
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write ``last.ckpt`` now."""
        if trainer.fast_dev_run or self.dirpath is None:  # type: ignore[attr-defined]  # set by Trainer's connector
            return
        trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt")
        self._saved = time.monotonic()
