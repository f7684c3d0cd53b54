"""Checkpoint files: the one reader, which runs no code that a file brings along, and what goes into them."""

from __future__ import annotations

import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probseg.errors import ProbsegError, warn
from probseg.io.guard import ZIP_FAULTS, file_size
from probseg.models.exported import DESCRIPTION, exported_weights, is_weights, read_exported, read_tensors
from probseg.records import DatasetInfo

__all__ = ["PUBLISHED", "best_checkpoint", "describe", "load_weights", "read_checkpoint", "read_weights", "warm_start"]

PUBLISHED = ("state_dict", "model")
"""Where weights to start from may stand; the opacity study's files keep them under ``model``."""

# What torch's reader raises on damaged files.
_DAMAGE = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
)

# Hyper-parameters that Lightning or hydra would import and call, and what Lightning itself writes there.
_CALLABLES = frozenset(("_instantiator", "_class_path", "_target_"))
_LIGHTNING = ("pytorch_lightning.cli.instantiate_module", "lightning.pytorch.cli.instantiate_module")


def describe(info: DatasetInfo | None, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a checkpoint says of its model, in plain types: version, data description and, if known, the config."""
    from probseg import __version__

    return {"version": __version__, "info": None if info is None else info.to_dict(), "config": config}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a probseg checkpoint, or the weights of an exported folder, without running anything in it.

    Raises:
        ProbsegError: the codes of `read_weights` and `probseg.models.exported.read_exported`, and E_CORRUPT_CHECKPOINT
            when it is of another program.
    """
    checkpoint = read_exported(path) if is_weights(path) else read_weights(path)
    if not isinstance(checkpoint.get("probseg"), dict):
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"'{path}' is no checkpoint of probseg; train one with probseg fit")
    return checkpoint


def read_weights(path: Path, under: Sequence[str] = ("state_dict",)) -> dict[str, Any]:
    """Read a checkpoint of any program without running anything in it; its weights stand under ``state_dict``.

    A safetensors file is weights and nothing else, unless it lies in an exported folder.

    Args:
        path: of the file, which may also hold weights and nothing else.
        under: the names under which the file may keep them, in order of preference.

    Raises:
        ProbsegError: the codes of `probseg.io.guard.file_size`, E_UNSAFE_CHECKPOINT when it holds anything but
            tensors and plain types or names something to import, E_TOO_LARGE when it inflates, E_CORRUPT_CHECKPOINT
            when it is damaged or without weights, E_NONFINITE when weights are not finite.
    """
    if is_weights(path):
        alone = not path.with_name(DESCRIPTION).is_file()
        return {"state_dict": read_tensors(path)} if alone else read_exported(path)
    checkpoint = _unpickled(path)
    content = checkpoint if isinstance(checkpoint, dict) else {}
    if content and all(isinstance(v, Tensor) for v in content.values()):
        content = {"state_dict": content}  # weights and nothing else
    found = next((name for name in under if name in content), None)
    if found is not None:
        content = {**content, "state_dict": content[found]}
    weights = content.get("state_dict")
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise ProbsegError(
            "E_CORRUPT_CHECKPOINT", f"'{path}' holds no weights under {' or '.join(under)}; train one with probseg fit"
        )
    _check_names(content.get("hyper_parameters"), path)
    for name, value in weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ProbsegError("E_NONFINITE", f"the weight '{name}' of '{path}' is not finite")
    return content


def _unpickled(path: Path) -> Any:
    size = file_size(path)
    if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0").lower() in ("1", "y", "yes", "true"):
        raise ProbsegError(
            "E_UNSAFE_CHECKPOINT", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD lets checkpoints run code; unset it first"
        )
    with path.open("rb") as file:
        archived = file.read(4) == b"PK\x03\x04"
    if archived:
        _check_archive(path, size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice on a pickle's protocol; what it refuses, it raises
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ProbsegError(
            "E_UNSAFE_CHECKPOINT", f"'{path}' holds more than tensors and plain types and will not be opened"
        ) from error
    except _DAMAGE as error:
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"the checkpoint '{path}' cannot be read; it is damaged") from error


def _check_archive(path: Path, size: int) -> None:
    """What torch does not look at: sums of every record, and how large they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            inflated = sum(member.file_size for member in archive.infolist())
            damaged = inflated <= 2 * size + 2**20 and archive.testzip() is not None
    except ZIP_FAULTS as error:
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"the checkpoint '{path}' is damaged; copy it again") from error
    if damaged:
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"the checkpoint '{path}' is damaged; copy or train it again")
    if inflated > 2 * size + 2**20:  # torch stores records as they are
        raise ProbsegError(
            "E_TOO_LARGE", f"'{path}' has {size} bytes but would inflate to {inflated}; torch never packs so"
        )


def _check_names(settings: Any, path: Path) -> None:
    """Refuse settings with which other programs would import and call what a file names."""
    stack, seen = [settings], set()
    while stack:
        value = stack.pop()
        if not isinstance(value, Mapping) or id(value) in seen:
            continue
        seen.add(id(value))
        for key in _CALLABLES & set(value):
            if value[key] not in _LIGHTNING:
                raise ProbsegError(
                    "E_UNSAFE_CHECKPOINT", f"'{path}' names something to import under '{key}' of its hyper-parameters"
                )
        stack += value.values()


def best_checkpoint(run: Path) -> Path:
    """The weights to use of a run folder, ``checkpoints/best.ckpt``, else ``last.ckpt``, or of an exported folder."""
    exported = exported_weights(run)
    if exported is not None:
        return exported
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
    """Take the weights of equal name and shape; warns of what was not found and refuses when nothing fits.

    Weights of another program have the names of a network, not of a family; they go to the part of the model whose
    names and shapes they fit best.
    """
    own, given = model.state_dict(), checkpoint["state_dict"]
    if not isinstance(checkpoint.get("probseg"), dict):
        given = _placed(model, given)
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not any(value.ndim > 1 for value in fitting.values()):  # counters and biases fit a model of any widths
        raise ProbsegError(
            "E_CLASS_MISMATCH",
            f"none of the {len(given)} weights of warm_start fits this model; give it a checkpoint of the same network "
            "and widths",
        )
    strange = [name for name in given if name not in fitting]
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        warn(
            "W_WARM_START",
            f"{len(strange)} of the {len(given)} weights of warm_start do not fit this model and stay out: "
            f"{', '.join(strange[:3])}{more}",
        )
    model.load_state_dict(fitting, strict=False)


def _placed(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of the part of the model of which most fit; the outermost of several such."""
    own = model.state_dict()
    bare = {name.removeprefix("module."): value for name, value in weights.items()}  # a wrapper for several GPUs

    def fits(prefix: str) -> int:
        return sum(prefix + k in own and own[prefix + k].shape == v.shape for k, v in bare.items())

    best = max((f"{name}." if name else "" for name, _ in model.named_modules()), key=fits)
    return {best + name: value for name, value in bare.items()}
