"""Training, validation, test and prediction over run folders: Lightning's command line and what it leaves on disk."""

from __future__ import annotations

from probseg.training.command_line import TrainingCLI
from probseg.training.cpu_budget import CpuBudget
from probseg.training.last_checkpoint import LastCheckpoint
from probseg.training.moving_average import MovingAverage
from probseg.training.panels import Panels
from probseg.training.run import run_training

__all__ = ["CpuBudget", "LastCheckpoint", "MovingAverage", "Panels", "TrainingCLI", "run_training"]
