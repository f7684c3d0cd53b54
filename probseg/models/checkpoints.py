"""Checkpoint files: the one reader, which runs no code that a file brings along, and what goes into them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probseg.errors import ProbsegError, warn
from probseg.records import DatasetInfo

__all__ = ["best_checkpoint", "describe", "load_weights", "read_checkpoint", "warm_start"]


def describe(info: DatasetInfo | None, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a checkpoint says of its model, in plain types: version, data description and, if known, the config."""
    from probseg import __version__

    return {"version": __version__, "info": None if info is None else info.to_dict(), "config": config}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a probseg checkpoint without running anything in it.

    Raises:
        ProbsegError: E_FILE_MISSING, E_IS_DIRECTORY, E_EMPTY_FILE, E_UNSAFE_CHECKPOINT when it holds anything but
            tensors and plain types, E_CORRUPT_CHECKPOINT when it is damaged or of another program, E_NONFINITE when
            weights are not finite.
    """
    if not path.exists():
        raise ProbsegError("E_FILE_MISSING", f"there is no checkpoint '{path}'")
    if path.is_dir():
        raise ProbsegError("E_IS_DIRECTORY", f"'{path}' is a folder, not a checkpoint; give a file that ends in .ckpt")
    if path.stat().st_size == 0:
        raise ProbsegError("E_EMPTY_FILE", f"the checkpoint '{path}' is empty")
    try:
        with zipfile.ZipFile(path) as archive:  # torch checks the sums of some records only
            damaged = archive.testzip()
    except zipfile.BadZipFile:
        damaged = None
    if damaged is not None:
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"the checkpoint '{path}' is damaged; copy or train it again")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ProbsegError(
            "E_UNSAFE_CHECKPOINT", f"'{path}' holds more than tensors and plain types and will not be opened"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"the checkpoint '{path}' cannot be read; it is damaged") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint or "probseg" not in checkpoint:
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"'{path}' is no checkpoint of probseg; train one with probseg fit")
    for name, value in checkpoint["state_dict"].items():
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ProbsegError("E_NONFINITE", f"the weight '{name}' of '{path}' is not finite")
    return checkpoint


def best_checkpoint(run: Path) -> Path:
    """The checkpoint to use of a run folder: ``checkpoints/best.ckpt``, else ``last.ckpt``."""
    for name in ("best.ckpt", "last.ckpt"):
        if (run / "checkpoints" / name).is_file():
            return run / "checkpoints" / name
    raise ProbsegError("E_FILE_MISSING", f"'{run}' has no checkpoints/best.ckpt; train it with probseg fit first")


def load_weights(model: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Put weights into a model of the same class and shape; E_CLASS_MISMATCH where they do not fit."""
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        raise ProbsegError(
            "E_CLASS_MISMATCH", f"the weights of '{source}' do not fit the model; its family or widths differ"
        ) from error


def warm_start(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Take the weights of equal name and shape; warns of what was not found and refuses when nothing fits."""
    own, given = model.state_dict(), checkpoint["state_dict"]
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise ProbsegError("E_CLASS_MISMATCH", "warm_start names a checkpoint of which no weight fits this model")
    unused = len(given) - len(fitting)
    if unused:
        warn("W_WARM_START", f"{unused} of the {len(given)} weights of warm_start do not fit this model and stay out")
    model.load_state_dict(fitting, strict=False)
