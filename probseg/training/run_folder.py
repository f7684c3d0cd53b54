"""The folder of a run: what it is called, which one a config belongs to, where it goes on, and how it is emptied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from probseg.errors import ProbsegError, warn
from probseg.models.checkpoints import read_checkpoint

__all__ = ["clear_run", "folder_of_config", "is_finished", "newest_checkpoint"]


def folder_of_config(settings: Any) -> Path | None:
    """The run folder whose own ``config.yaml`` was given; None where --out says otherwise."""
    for given in settings.config or ():
        path = Path(os.fspath(given)).resolve()
        if path.name == "config.yaml" and (path.parent / "checkpoints").is_dir():
            stored = yaml.safe_load(path.read_text(encoding="utf-8"))
            if settings.out in (None, stored.get("out")):
                return path.parent
    return None


def newest_checkpoint(run: Path) -> Path | None:
    """Where a run that was interrupted goes on: ``last.ckpt``, or the one before it where that is damaged.

    Raises:
        ProbsegError: the code of the damage where no checkpoint is whole.
    """
    found = [run / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt")]
    found = [path for path in found if path.is_file()]
    for path in found:
        try:
            read_checkpoint(path)
        except ProbsegError as error:
            if path == found[-1]:
                raise
            warn("W_CHECKPOINT", f"{error.message}; the training goes on from the one before it")
        else:
            return path
    return None


def is_finished(run: Path) -> bool:
    """Whether the training of this run came to its end."""
    return (run / "training.json").is_file()


def clear_run(run: Path) -> None:
    """Remove what a run writes, and the folder if nothing else is in it."""
    for name in ("config.yaml", "metrics.csv", "results.csv", "validation.csv", "training.json", "adaptation.json"):
        (run / name).unlink(missing_ok=True)
    for name in ("checkpoints", "members", "test", "predictions"):
        shutil.rmtree(run / name, ignore_errors=True)
    if run.is_dir() and not any(run.iterdir()):
        run.rmdir()
