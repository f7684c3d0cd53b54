"""A checkpoint every few minutes and at every stop, from which a training goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from probseg.data.loader import TrainingLoader
from probseg.errors import ProbsegError
from probseg.training.metrics_table import MetricsTable
from probseg.training.slurm import requeue, requeue_signal
from probseg.training.stop_signals import StopSignals, TrainingStopped

__all__ = ["LastCheckpoint"]


class LastCheckpoint(Checkpoint):
    """Keeps ``last.ckpt``, and the one before it as ``previous.ckpt``; stops the training in good order at a signal.

    A checkpoint is written between two steps only, when everything about the one before is done: logged, validated,
    its learning rate set. SIGTERM and Ctrl-C end the training there, and so does, in a job of SLURM, the signal by
    which it says that time is up; the job is then queued again.

    Args:
        dirpath: the folder of checkpoints; None for ``checkpoints`` in the trainer's ``default_root_dir``.
        minutes: between two checkpoints; 0 for one after every step. The end of the training always has one.
    """

    def __init__(self, dirpath: str | None = None, minutes: float = 5.0) -> None:
        super().__init__()
        if not minutes >= 0:
            raise ProbsegError("E_SCHEMA", f"minutes of the last checkpoint must be at least 0, but is {minutes}")
        self.dirpath = dirpath
        self.minutes = minutes
        self._signals = StopSignals()
        self._requeue: int | None = None
        self._tables: list[MetricsTable] = []
        self._rows = 0
        self._logged_steps: int | None = None
        self._before = 0.0  # seconds of the runs that this one goes on from
        self._start: float | None = None
        self._saved = 0.0

    @property
    def seconds(self) -> float:
        """How long the training has taken, interruptions left out."""
        return self._before + (0.0 if self._start is None else time.monotonic() - self._start)

    @property
    def stopped_by(self) -> int:
        """Number of the signal that asked the training to stop; 0 for none."""
        return self._signals.received

    # -- when ---------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Cut the log back to the checkpoint, start the clock and listen to signals."""
        self._tables = [logger for logger in trainer.loggers if isinstance(logger, MetricsTable)]
        for table in self._tables:
            table.keep(self._rows)
        self._start = self._saved = time.monotonic()
        loader = trainer.train_dataloader
        if isinstance(loader, TrainingLoader):
            loader.between = lambda: self._between_steps(trainer)
        self._requeue = requeue_signal(trainer)
        self._signals.listen(signal.SIGTERM, signal.SIGINT, *([self._requeue] if self._requeue else []))

    def _between_steps(self, trainer: Trainer) -> None:
        """Save when it is time or a signal came, unless gradients are half gathered."""
        loop = trainer.fit_loop.epoch_loop
        if self._logged_steps is not None:  # Lightning counts one too many where it goes on after a validation
            loop._batches_that_stepped, self._logged_steps = self._logged_steps, None
        if loop.batch_progress.current.ready % trainer.accumulate_grad_batches:
            return
        due, number = _agreed(trainer, time.monotonic() - self._saved >= 60 * self.minutes, self._signals.received)
        if due or number:
            self.save(trainer)
        if number:
            if number == self._requeue and trainer.is_global_zero:
                requeue()
            raise TrainingStopped(number, trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of the training; that of another epoch is saved before the first step of the next."""
        if _is_over(trainer):
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock and leave signals to others."""
        self._signals.ignore()
        self._before, self._start = self.seconds, None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave signals to others."""
        self._signals.ignore()

    # -- what ---------------------------------------------------------------------------------------------------------

    def save(self, trainer: Trainer) -> None:
        """Write ``last.ckpt`` now; the one that was there becomes ``previous.ckpt`` when the new one is safe."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by Trainer's connector
            return
        last = Path(self.dirpath or f"{trainer.default_root_dir}/checkpoints") / "last.ckpt"
        self._logged_steps = trainer.fit_loop.epoch_loop._batches_that_stepped
        kept = _second_name(last) if trainer.is_global_zero else None
        try:
            trainer.save_checkpoint(last)
            if kept is not None:
                os.replace(kept, last.with_name("previous.ckpt"))
        finally:
            self._logged_steps = None
            if kept is not None:
                kept.unlink(missing_ok=True)
        self._saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """How long the training has taken and how much of its log belongs to this checkpoint."""
        rows = max((table.rows for table in self._tables), default=self._rows)
        return {"seconds": self.seconds, "rows": rows, "logged_steps": self._logged_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._before, self._rows = float(state_dict["seconds"]), int(state_dict["rows"])
        self._logged_steps = state_dict.get("logged_steps")


def _is_over(trainer: Trainer) -> bool:
    """Whether this was the last epoch, asked at its end."""
    progress: Any = trainer.fit_loop.epoch_progress.current  # of a class that has more than its declared one
    steps = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    epochs = trainer.max_epochs not in (None, -1) and progress.processed >= trainer.max_epochs
    return bool(steps or epochs or (trainer.should_stop and trainer.fit_loop._can_stop_early))


def _agreed(trainer: Trainer, due: bool, number: int) -> tuple[bool, int]:
    """What any device wants, all do."""
    if trainer.world_size == 1:
        return due, number
    wanted = torch.tensor([int(due), number], device=trainer.strategy.root_device)
    torch.distributed.all_reduce(wanted, op=torch.distributed.ReduceOp.MAX)
    return bool(wanted[0]), int(wanted[1])


def _second_name(path: Path) -> Path | None:
    """Another name of the same file, so that it outlives its first; None where there is none or names are single."""
    other = path.with_name(f".tmp{os.getpid()}-previous.ckpt")
    try:
        other.unlink(missing_ok=True)
        os.link(path, other)
    except OSError:
        return None
    return other
