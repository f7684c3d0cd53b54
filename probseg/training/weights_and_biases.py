"""Logging to Weights & Biases, which must never stop a training."""

from __future__ import annotations

import socket
from pathlib import Path

import wandb
from pytorch_lightning.loggers import Logger, WandbLogger

from probseg.errors import warn

__all__ = ["wandb_loggers"]


def wandb_loggers(project: str, run: Path) -> list[Logger]:
    """A Weights & Biases logger, offline where its server cannot be reached; a warning and none where it fails."""
    try:
        socket.create_connection(("api.wandb.ai", 443), timeout=3).close()
        offline = False
    except OSError:
        offline = True
        warn(
            "W_WANDB_OFFLINE", "Weights & Biases cannot be reached; the run is logged offline, sync it with wandb sync"
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
        logger = WandbLogger(name=run.name, project=project, save_dir=str(run), offline=offline)
        logger.experiment  # noqa: B018  # connects now, so that a failure is met before training
        return [logger]
    except (wandb.Error, OSError) as error:
        warn("W_WANDB", f"Weights & Biases cannot be used and is left out: {error}")
        return []
