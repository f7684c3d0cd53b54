"""Checkpoints: the one loader, which runs no code that a file brings along, and models built again from them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import Tensor

from probseg.errors import ProbsegError, warn
from probseg.records import DatasetInfo

if TYPE_CHECKING:
    from probseg.models.base import SegmentationModule

__all__ = ["best_checkpoint", "describe", "load_model", "read_checkpoint", "warm_start"]

# The only names that a checkpoint may ask to import. Anything else needs the config.yaml that its user wrote.
_OWN = frozenset(
    f"probseg.{name}"
    for name in (
        "models.Deterministic",
        "models.MonteCarloDropout",
        "models.Ensemble",
        "models.ProbabilisticUNet",
        "models.AverageRaters",
        "models.RandomRater",
        "models.MajorityVote",
        "networks.UNet",
    )
) | {"torch.optim.AdamW", "torch.optim.Adam", "torch.optim.SGD"}


def describe(model: SegmentationModule) -> dict[str, Any]:
    """What a checkpoint says of its model, in plain types: version, data description and, if known, the config."""
    from probseg import __version__

    info = None if model.info is None else model.info.to_dict()
    return {"version": __version__, "info": info, "config": model.config}


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


def load_model(path: str | Path) -> SegmentationModule:
    """The trained model of a run folder or checkpoint, in evaluation mode on the CPU.

    The class and settings of the model come from the checkpoint if all of them are probseg's own; a class of another
    package is imported only when the ``config.yaml`` of the run, which its user wrote, names the same.
    """
    path = Path(path)
    if not path.exists():
        raise ProbsegError("E_FILE_MISSING", f"there is no run or checkpoint at '{path}'")
    file = best_checkpoint(path) if path.is_dir() else path
    checkpoint = read_checkpoint(file)
    config = checkpoint["probseg"].get("config")
    if not isinstance(config, Mapping):
        raise ProbsegError(
            "E_CORRUPT_CHECKPOINT", f"'{file}' does not say how its model is built; it was not made by probseg fit"
        )
    strange = sorted(set(_class_paths(config)) - _OWN)
    if strange and _configured(file.parent.parent / "config.yaml") != config:
        raise ProbsegError(
            "E_UNSAFE_CHECKPOINT",
            f"'{file}' asks for a class outside probseg, which only the config.yaml of its run may name; keep it in "
            "the run folder beside checkpoints/",
        )
    model = build_model(config)
    model.bind(DatasetInfo.from_dict(checkpoint["probseg"]["info"], str(file)))
    load_weights(model, checkpoint["state_dict"], file)
    return model.eval()


def load_weights(model: SegmentationModule, state: Mapping[str, Tensor], source: Path) -> None:
    """Put weights into a model of the same class and shape; E_CLASS_MISMATCH where they do not fit."""
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        raise ProbsegError(
            "E_CLASS_MISMATCH", f"the weights of '{source}' do not fit the model; its family or widths differ"
        ) from error


def build_model(config: Mapping[str, Any]) -> SegmentationModule:
    """A model from its configuration, ``class_path`` and ``init_args`` as in YAML."""
    from jsonargparse import ArgumentParser

    from probseg.models.base import SegmentationModule

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SegmentationModule, "model")
    model = parser.instantiate_classes(parser.parse_object({"model": dict(config)})).model
    assert isinstance(model, SegmentationModule)
    model.config = dict(config)
    return model


def _class_paths(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == "class_path":
                yield str(value)
            else:
                yield from _class_paths(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _class_paths(value)


def _configured(path: Path) -> Any:
    if not path.is_file():
        return None
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("model")


def warm_start(model: SegmentationModule, checkpoint: Mapping[str, Any]) -> None:
    """Take the weights of equal name and shape; warns of what was not found and refuses when nothing fits."""
    own, given = model.state_dict(), checkpoint["state_dict"]
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise ProbsegError("E_CLASS_MISMATCH", "warm_start names a checkpoint of which no weight fits this model")
    unused = len(given) - len(fitting)
    if unused:
        warn("W_WARM_START", f"{unused} of the {len(given)} weights of warm_start do not fit this model and stay out")
    model.load_state_dict(fitting, strict=False)
