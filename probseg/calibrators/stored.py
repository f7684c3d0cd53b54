"""A calibrator beside the checkpoint that it was fitted for, and no other."""

from __future__ import annotations

import json
from argparse import ArgumentError, ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from probseg.calibrators.base import Calibrator, Sizes
from probseg.calibrators.class_temperature import ClassTemperature
from probseg.calibrators.isotonic import Isotonic
from probseg.calibrators.local_temperature import LocalTemperature
from probseg.calibrators.temperature import Temperature
from probseg.calibrators.vector_scaling import VectorScaling
from probseg.errors import ProbsegError
from probseg.io.atomic import replacing, write_text
from probseg.io.digest import file_sha256
from probseg.io.guard import file_size

__all__ = ["StoredCalibrator", "build_calibrator", "calibrator_path", "read_calibrator", "write_calibrator"]

_KEY = "probseg_calibrator"
# The only classes that a file may ask to import; any other is named by the user.
_OWN = frozenset(
    f"probseg.calibrators.{kind.__name__}"
    for kind in (ClassTemperature, Isotonic, LocalTemperature, Temperature, VectorScaling)
)


@dataclass(frozen=True)
class StoredCalibrator:
    """A fitted calibrator and where it comes from.

    Attributes:
        calibrator: in evaluation mode.
        config: its ``class_path`` and ``init_args``.
        sizes: of the model that it is for.
        classes: names of that model's classes.
        record: what it was fitted on, in plain types.
    """

    calibrator: Calibrator
    config: Mapping[str, Any]
    sizes: Sizes
    classes: tuple[str, ...]
    record: Mapping[str, Any]

    @property
    def method(self) -> str:
        """The last part of its class path."""
        return str(self.config["class_path"]).rpartition(".")[2]


def build_calibrator(method: str | Mapping[str, Any]) -> tuple[Calibrator, dict[str, Any]]:
    """A calibrator that is not prepared yet, and its full configuration.

    Args:
        method: a class name such as ``Temperature``, a class path, or a mapping of ``class_path`` and ``init_args``.

    Raises:
        ProbsegError: E_SCHEMA where there is no such class or it refuses its settings.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Calibrator, "method")
    wanted = {"class_path": method} if isinstance(method, str) else dict(method)
    try:
        parsed = parser.parse_object({"method": wanted})
        calibrator = parser.instantiate(parsed).method
    except (ArgumentError, ArgumentTypeError, TypeError, ValueError) as error:
        if isinstance(error.__cause__, ProbsegError):
            raise error.__cause__ from error
        known = ", ".join(sorted(name.rpartition(".")[2] for name in _OWN))
        raise ProbsegError(
            "E_SCHEMA", f"no calibrator can be made of {json.dumps(wanted)}; the methods are {known}, or a class path"
        ) from error
    settings = parsed.method.get("init_args") or Namespace()
    return calibrator, {"class_path": _public(calibrator), "init_args": json.loads(json.dumps(settings.as_dict()))}


def _public(calibrator: Calibrator) -> str:
    kind = type(calibrator)
    short = f"probseg.calibrators.{kind.__name__}"
    return short if short in _OWN and kind.__module__.startswith("probseg.") else f"{kind.__module__}.{kind.__name__}"


def calibrator_path(checkpoint: Path) -> Path:
    """``best.ckpt`` to ``best.calibration.safetensors`` beside it."""
    return checkpoint.with_name(f"{checkpoint.stem}.calibration.safetensors")


def write_calibrator(
    checkpoint: Path,
    calibrator: Calibrator,
    config: Mapping[str, Any],
    sizes: Sizes,
    classes: Sequence[str],
    record: Mapping[str, Any],
) -> Path:
    """Write a fitted calibrator beside its checkpoint, whole or not at all, bound to the checkpoint's SHA-256.

    What it is and was fitted on stands in the file, and once more for people in ``best.calibration.json``.

    Returns:
        The path of the file.

    Raises:
        ProbsegError: E_NONFINITE where a parameter is no number, E_NOT_WRITABLE.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in calibrator.state_dict().items()}
    _require_finite(state, "the calibrator")
    description = {
        **config,
        "sizes": sizes.to_dict(),
        "classes": list(classes),
        "checkpoint": {"name": checkpoint.name, "sha256": file_sha256(checkpoint)},
        "record": dict(record),
    }
    path = calibrator_path(checkpoint)
    with replacing(path) as temporary:
        save_file(state, temporary, metadata={_KEY: json.dumps(description)})
    write_text(path.with_suffix(".json"), json.dumps(description, indent=2) + "\n")
    return path


def read_calibrator(checkpoint: Path, allowed: str | None = None) -> StoredCalibrator | None:
    """The calibrator of a checkpoint; None where it has none.

    Args:
        checkpoint: of a model.
        allowed: class path of a calibrator of another package that the user lets be imported.

    Raises:
        ProbsegError: E_STALE_CALIBRATION where it was fitted for another state of the checkpoint, E_UNSAFE_CHECKPOINT
            where it names a class outside probseg that is not ``allowed``, E_CORRUPT_CHECKPOINT where the file is
            damaged, E_NONFINITE.
    """
    path = calibrator_path(checkpoint)
    if not path.is_file():
        return None
    state, description = _content(path)
    try:
        config = {"class_path": str(description["class_path"]), "init_args": dict(description["init_args"])}
        sizes, classes = Sizes(**description["sizes"]), tuple(map(str, description["classes"]))
        sha256, record = description["checkpoint"]["sha256"], dict(description["record"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path) from error
    if sha256 != file_sha256(checkpoint):
        raise ProbsegError(
            "E_STALE_CALIBRATION",
            f"'{path}' was fitted for another state of '{checkpoint.name}'; run probseg calibrate again, or leave it "
            "out with --calibration none",
        )
    if config["class_path"] not in {*_OWN, allowed}:
        raise ProbsegError(
            "E_UNSAFE_CHECKPOINT",
            f"'{path}' asks for the class {config['class_path']} outside probseg; name it with --calibration if you "
            "trust it",
        )
    calibrator, _ = build_calibrator(config)
    try:
        calibrator.prepare(sizes)
        calibrator.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path) from error
    return StoredCalibrator(calibrator.eval().requires_grad_(False), config, sizes, classes, record)


def _content(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    file_size(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            description = json.loads((file.metadata() or {})[_KEY])
    except (SafetensorError, KeyError, ValueError, OSError, RecursionError) as error:
        raise _damaged(path) from error
    _require_finite(state, f"'{path}'")
    if not isinstance(description, dict):
        raise _damaged(path)
    return state, description


def _require_finite(state: Mapping[str, Tensor], what: str) -> None:
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise ProbsegError("E_NONFINITE", f"the parameter '{name}' of {what} is not finite")


def _damaged(path: Path) -> ProbsegError:
    return ProbsegError("E_CORRUPT_CHECKPOINT", f"'{path}' is no calibration of probseg; run probseg calibrate again")
