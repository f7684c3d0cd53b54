"""The run folder of an adapted model, which every command takes like one that was trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from probseg.adaptation import AdaptationNote
from probseg.adapting.method import Adapted
from probseg.errors import ProbsegError
from probseg.io.atomic import write_text
from probseg.io.strict_yaml import read_yaml
from probseg.models import SegmentationModule
from probseg.models.checkpoints import describe
from probseg.training.checkpoint_files import WholeCheckpoints
from probseg.training.fitting import Record
from probseg.training.run_folder import clear_run

__all__ = ["check_new_run", "read_settings", "settings_at", "write_adapted_run"]


def read_settings(run: Path) -> dict[str, Any]:
    """The ``config.yaml`` of a run folder.

    Raises:
        ProbsegError: E_FILE_MISSING where there is none, E_SCHEMA where it names no data.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise ProbsegError(
            "E_FILE_MISSING", f"'{run}' has no config.yaml; give the run folder of probseg fit, not a checkpoint alone"
        )
    settings = read_yaml(path, finite=False)
    if not isinstance(settings, dict) or not isinstance(settings.get("data"), dict) or "model" not in settings:
        raise ProbsegError("E_SCHEMA", f"'{path}' describes no model and data; is it of probseg fit?")
    return settings


def settings_at(settings: Mapping[str, Any], out: Path, root: str, site: str, seed: int) -> dict[str, Any]:
    """The settings of a run for another folder, dataset and site; everything else stays."""
    moved = copy.deepcopy(dict(settings))
    same = moved["data"].get("root") == root
    moved["data"] |= {"root": root, "sites": [site], "store": moved["data"].get("store") if same else None}
    moved |= {"seed_everything": seed, "out": str(out), "overwrite": False, "resume": False, "ckpt_path": None}
    for part, name, value in (
        ("checkpoint", "dirpath", f"{out}/checkpoints"),
        ("last", "dirpath", f"{out}/checkpoints"),
        ("trainer", "default_root_dir", str(out)),
    ):
        moved[part] = {**(moved.get(part) or {}), name: value}
    return moved


def check_new_run(out: Path, run: Path, overwrite: bool) -> None:
    """Refuse to write over anything but, if asked to, an earlier run; nothing is removed yet.

    Raises:
        ProbsegError: E_OUTPUT_EXISTS.
    """
    if out.resolve() == run.resolve():
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{out}' is the run that is adapted; give another --out")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not overwrite)):
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{out}' is not empty; give another --out or add --overwrite")


def write_adapted_run(
    out: Path,
    model: SegmentationModule,
    settings: Mapping[str, Any],
    note: AdaptationNote,
    checkpoint: Path,
    seconds: float,
    adapted: Adapted,
) -> Path:
    """Write ``checkpoints/best.ckpt``, ``adaptation.json``, ``training.json`` and, last, ``config.yaml``.

    Args:
        out: the new run folder; what an earlier run left in it goes.
        model: adapted.
        settings: for ``config.yaml``.
        note: goes into the checkpoint, too.
        checkpoint: from which the model was adapted.
        seconds: that it took.
        adapted: what the method did.

    Returns:
        The checkpoint.
    """
    clear_run(out)
    path = out / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    described = {**describe(model.info, model.config), "adaptation": note.to_dict()}
    WholeCheckpoints().save_checkpoint({"state_dict": model.state_dict(), "probseg": described}, path)
    if adapted.beside is not None:
        adapted.beside(path)
    note.write(out)
    threads = torch.get_num_threads()
    Record(round(seconds, 1), 0, adapted.steps, note.seed, str(checkpoint), threads, "32-true").write(out)
    write_text(out / "config.yaml", yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))
    return path
