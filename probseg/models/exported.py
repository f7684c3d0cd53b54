"""A model as `probseg export` leaves it: weights as safetensors, and beside them in plain types how it is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from probseg.errors import ProbsegError
from probseg.io.digest import file_sha256
from probseg.io.guard import check_size
from probseg.io.safetensors_header import read_header
from probseg.io.strict_yaml import read_yaml

__all__ = ["DESCRIPTION", "FORMAT", "WEIGHTS", "exported_weights", "is_weights", "read_exported", "read_tensors"]

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
FORMAT = 1
"""Of ``model.json``; rises when what is written cannot be read by what was."""

_KEYS = {
    "format": int,
    "version": str,
    "family": str,
    "weights_sha256": str,
    "checkpoint_sha256": str,
    "model": Mapping,
    "dataset": Mapping,
}


def exported_weights(folder: Path) -> Path | None:
    """The weights of an exported folder; None where the folder is not one.

    Raises:
        ProbsegError: E_FILE_MISSING where the weights are there but not their description.
    """
    weights, description = folder / WEIGHTS, folder / DESCRIPTION
    if description.is_file():
        return weights
    if weights.is_file():
        raise ProbsegError("E_FILE_MISSING", f"'{folder}' has {WEIGHTS} but no {DESCRIPTION}; export the model again")
    return None


def is_weights(path: Path) -> bool:
    """Whether a file is called as safetensors are."""
    return path.name.lower().endswith(".safetensors")


def read_tensors(path: Path) -> dict[str, Any]:
    """All tensors of a safetensors file by name, after its header was judged.

    Raises:
        ProbsegError: the codes of `probseg.io.safetensors_header.read_header`, and E_TOO_LARGE.
    """
    shapes = read_header(path)
    check_size(path, path.stat().st_size)
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, OSError, KeyError) as error:
        raise ProbsegError("E_CORRUPT_CHECKPOINT", f"'{path}' is no sound safetensors file; copy it again") from error
    assert set(tensors) == set(shapes)
    return tensors


def read_exported(weights: Path) -> dict[str, Any]:
    """The weights of an exported folder with what builds their model, in the layout of a checkpoint.

    Nothing is taken from the weights before their SHA-256 is that of the description.

    Args:
        weights: ``model.safetensors`` in the folder.

    Raises:
        ProbsegError: E_FILE_MISSING, E_PARSE or E_SCHEMA where the description is missing, no JSON, or lacks a key;
            E_CORRUPT_CHECKPOINT where the weights are damaged or not those described; the codes of `read_tensors`.
    """
    description = _description(weights.with_name(DESCRIPTION))
    read_header(weights)
    if file_sha256(weights) != description["weights_sha256"]:
        raise ProbsegError(
            "E_CORRUPT_CHECKPOINT",
            f"'{weights}' is not the file that {DESCRIPTION} describes: its SHA-256 differs; copy the folder again",
        )
    described = {
        "version": description["version"],
        "config": dict(description["model"]),
        "info": dict(description["dataset"]),
    }
    return {"state_dict": read_tensors(weights), "probseg": described}


def _description(path: Path) -> dict[str, Any]:
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise ProbsegError("E_SCHEMA", f"'{path}' must be a mapping, with the keys {', '.join(_KEYS)}")
    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise ProbsegError("E_SCHEMA", f"'{path}' lacks the key '{missing[0]}'; export the model again")
    strange = sorted(str(key) for key in data if key not in _KEYS)
    if strange:
        raise ProbsegError(
            "E_SCHEMA", f"'{path}' has a key that no export of format {FORMAT} has; its keys are {', '.join(_KEYS)}"
        )
    wrong = [key for key, kind in _KEYS.items() if not isinstance(data[key], kind) or isinstance(data[key], bool)]
    if wrong:
        raise ProbsegError("E_SCHEMA", f"'{wrong[0]}' in '{path}' has the wrong type; export the model again")
    if data["format"] != FORMAT:
        raise ProbsegError(
            "E_SCHEMA",
            f"'{path}' has format {data['format']}, but this version of probseg reads format {FORMAT}; upgrade probseg",
        )
    return data
