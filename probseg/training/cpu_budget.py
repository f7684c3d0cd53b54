"""A training that ends after so many minutes of processor time, however busy the machine is with others."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from probseg.errors import ProbsegError

__all__ = ["CpuBudget"]


class CpuBudget(Callback):
    """Ends the training after ``minutes`` of processor time of this process, its threads and its loader processes.

    Validation counts, start and the last validation do not. What was spent is kept in every checkpoint, and a training
    that goes on continues from there. The learning rate follows the budget as it does a ``Timer``; set
    ``trainer.max_epochs`` to -1 where nothing else shall end the training. With several devices the first process
    decides for all.

    Args:
        minutes: of processor time; four threads at work spend four a minute.
    """

    def __init__(self, minutes: float) -> None:
        super().__init__()
        if not 0 < minutes < float("inf"):
            raise ProbsegError("E_SCHEMA", f"minutes of CpuBudget must be above 0, but is {minutes}")
        self.minutes = minutes
        self._before = 0.0  # seconds of the runs that this one goes on from
        self._start: float | None = None

    @property
    def seconds(self) -> float:
        """Processor time spent so far."""
        return self._before + (0.0 if self._start is None else _cpu_seconds() - self._start)

    @property
    def share(self) -> float:
        """Share of the budget that is spent, from 0; the learning rate follows it."""
        return self.seconds / (60 * self.minutes)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock starts; a budget that was spent before ends the training at once."""
        self._start = _cpu_seconds()
        self._judge(trainer)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """End the training when the budget is spent."""
        self._judge(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock stops."""
        self._before, self._start = self.seconds, None

    def _judge(self, trainer: Trainer) -> None:
        over = self.share >= 1
        if trainer.world_size > 1:
            over = trainer.strategy.broadcast(over)
        trainer.should_stop = trainer.should_stop or over

    def state_dict(self) -> dict[str, Any]:
        """What was spent, for the checkpoint."""
        return {"cpu_seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was spent."""
        self._before = float(state_dict["cpu_seconds"])


def _cpu_seconds() -> float:
    """Of this process and its children, those that ended and the loader processes at work."""
    ended = os.times()
    at_work = sum(_cpu_seconds_of(child.pid) for child in multiprocessing.active_children())
    return time.process_time() + ended.children_user + ended.children_system + at_work


def _cpu_seconds_of(pid: int | None) -> float:
    """Of another process; 0 where the system has no ``/proc``, and its time counts when it ends."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, in ticks
