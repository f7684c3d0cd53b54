"""The folder of a run: what it is called, which one a config belongs to, and how it is emptied."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

__all__ = ["clear_run", "family_name", "folder_of_config"]


def family_name(class_path: str) -> str:
    """``probseg.models.ProbabilisticUNet`` to ``probabilistic_unet``."""
    name = class_path.rsplit(".", 1)[-1].replace("UNet", "Unet")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def folder_of_config(settings: Any) -> Path | None:
    """The run folder whose own ``config.yaml`` was given; None where --out says otherwise."""
    for given in settings.config or ():
        path = Path(os.fspath(given)).resolve()
        if path.name == "config.yaml" and (path.parent / "checkpoints").is_dir():
            stored = yaml.safe_load(path.read_text(encoding="utf-8"))
            if settings.out in (None, stored.get("out")):
                return path.parent
    return None


def clear_run(run: Path) -> None:
    """Remove what a run writes, and the folder if nothing else is in it."""
    for name in ("config.yaml", "metrics.csv", "results.csv", "validation.csv", "training.json"):
        (run / name).unlink(missing_ok=True)
    for name in ("checkpoints", "members", "test", "predictions"):
        shutil.rmtree(run / name, ignore_errors=True)
    if run.is_dir() and not any(run.iterdir()):
        run.rmdir()
