"""Checkpoint files: the one reader, which runs no code that a file brings along, and what goes into them."""

from __future__ import annotations

import pickle
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probseg.errors import ProbsegError, warn
from probseg.io.guard import file_size
from probseg.records import DatasetInfo

__all__ = ["best_checkpoint", "describe", "load_weights", "read_checkpoint", "warm_start"]


def describe(info: DatasetInfo | None, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a checkpoint says of its model, in plain types: version, data description and, if known, the config."""
    from probseg import __version__

    return {"version": __version__, "info": None if info is None else info.to_dict(), "config": config}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a probseg checkpoint without running anything in it.

    Raises:
        ProbsegError: the codes of `probseg.io.guard.file_size`, E_UNSAFE_CHECKPOINT when it holds anything but
            tensors and plain types, E_TOO_LARGE when it inflates, E_CORRUPT_CHECKPOINT when it is damaged or of another
            program, E_NONFINITE when weights are not finite.
    """
    size = file_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            inflated = sum(member.file_size for member in archive.infolist())
            if inflated > 2 * size + 2**20:  # torch stores records as they are
                raise ProbsegError(
                    "E_TOO_LARGE", f"'{path}' has {size} bytes but would inflate to {inflated}; torch never packs so"
                )
            damaged = archive.testzip() is not None  # torch checks the sums of some records only
    except (zipfile.BadZipFile, zlib.error, NotImplementedError):
        damaged = zipfile.is_zipfile(path)
    if damaged:
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"the checkpoint '{path}' is damaged; copy or train it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice on a pickle's protocol; what it refuses, it raises
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ProbsegError(
            "E_UNSAFE_CHECKPOINT", f"'{path}' holds more than tensors and plain types and will not be opened"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"the checkpoint '{path}' cannot be read; it is damaged") from error
    content = checkpoint if isinstance(checkpoint, dict) else {}
    weights, described = content.get("state_dict"), content.get("probseg")
    ours = isinstance(weights, dict) and isinstance(described, dict)
    if not ours or not all(isinstance(v, Tensor) for v in content["state_dict"].values()):
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"'{path}' is no checkpoint of probseg; train one with probseg fit")
    for name, value in checkpoint["state_dict"].items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ProbsegError("E_NONFINITE", f"the weight '{name}' of '{path}' is not finite")
    return checkpoint


def best_checkpoint(run: Path) -> Path:
    """The checkpoint to use of a run folder: ``checkpoints/best.ckpt``, else ``last.ckpt``."""
    for name in ("best.ckpt", "last.ckpt"):
        if (run / "checkpoints" / name).is_file():
            return run / "checkpoints" / name
    raise ProbsegError("E_FILE_MISSING", f"'{run}' has no checkpoints/best.ckpt; train it with probseg fit first")


def load_weights(model: nn.Module, state: Mapping[str, Tensor], source: Path | str) -> None:
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
