"""Jobs of SLURM that are put back into the queue before their time is over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable

from lightning_fabric.plugins.environments import SLURMEnvironment
from pytorch_lightning import Trainer

from probseg.errors import warn

__all__ = ["requeue", "requeue_of", "requeue_signal"]


def requeue_signal(trainer: Trainer) -> int | None:
    """The signal at which a job of SLURM saves and is queued again: SIGUSR1 unless its plugin says otherwise.

    None outside of SLURM, and where ``SLURMEnvironment(auto_requeue=False)`` is among the plugins.
    """
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment):
        return int(environment.requeue_signal or signal.SIGUSR1) if environment.auto_requeue else None
    return int(signal.SIGUSR1) if os.environ.get("SLURM_JOB_ID") else None


def requeue_of(trainer: Trainer) -> tuple[int, Callable[[], None]] | None:
    """The signal of `requeue_signal` with what answers it; None where there is none."""
    number = requeue_signal(trainer)
    return None if number is None else (number, requeue)


def requeue() -> None:
    """Ask SLURM to run this job again; a warning where it refuses, for the checkpoint is there all the same."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    if not re.fullmatch(r"[0-9_]+", job):
        warn("W_REQUEUE", "SLURM has given no number of this job, so it is not queued again; submit it once more")
        return
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False)
        fault = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        fault = str(error)
    if fault:
        warn("W_REQUEUE", f"scontrol requeue {job} failed, so submit the job once more: {fault}")
