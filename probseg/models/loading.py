"""Models built again from a run folder or a checkpoint."""

from __future__ import annotations

from argparse import ArgumentError, ArgumentTypeError
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor

from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.models.checkpoints import best_checkpoint, load_weights, read_checkpoint
from probseg.models.exported import is_weights
from probseg.networks.blocks import BLOCKS, NORMS
from probseg.records import DatasetInfo
from probseg.zoo import located

__all__ = ["build_model", "foreign_names", "load_model"]

# The only names that a checkpoint may ask to import. Anything else needs the config.yaml that its user wrote.
_OWN = frozenset(
    f"probseg.{name}"
    for name in (
        "models.Deterministic",
        "models.MonteCarloDropout",
        "models.Ensemble",
        "models.ProbabilisticUNet",
        "models.HierarchicalUNet",
        "models.SWAG",
        "models.SnapshotEnsemble",
        "models.StochasticSegmentation",
        "models.IntensityRegion",
        "models.TestTimeAugmentation",
        "models.CentreFirst",
        "models.Constant",
        "models.Cosine",
        "models.MultiStep",
        "models.Polynomial",
        "models.AverageRaters",
        "models.RandomRater",
        "models.MajorityVote",
        "models.BalancedRater",
        "models.VirtualMask",
        "models.RaterConditioned",
        "models.RaterConfusion",
        "models.losses.CombinedLoss",
        "models.losses.CrossEntropyLoss",
        "models.losses.DiceLoss",
        "models.losses.FocalLoss",
        "models.losses.SoftLabelLoss",
        "models.bounds.EvidenceBound",
        "models.bounds.Geco",
        "models.bounds.ImportanceWeightedBound",
        "networks.Adapted",
        "networks.L3UNet",
        "networks.PSPNet",
        "networks.UNet",
    )
) | {"torch.optim.AdamW", "torch.optim.Adam", "torch.optim.SGD"}

# Values of closed options, which no class is called.
_WORDS = frozenset(("diagonal", "full", "mean", "mean_max", "STAPLE", "MAJORITY", "consensus", "truth")) | {
    *NORMS,
    *BLOCKS,
}


def load_model(path: str | Path) -> SegmentationModule:
    """The trained model of a run folder, checkpoint or exported folder, in evaluation mode on the CPU.

    The class and settings of the model come from the checkpoint if all of them are probseg's own; a class of another
    package is imported only when the ``config.yaml`` of the run, which its user wrote, names the same. An exported
    folder names probseg's own classes only; ``zoo:NAME`` is one that comes with the package.
    """
    path = located(path)
    if not path.exists():
        raise ProbsegError("E_FILE_MISSING", f"there is no run or checkpoint at '{path}'")
    file = best_checkpoint(path) if path.is_dir() else path
    checkpoint = read_checkpoint(file)
    config = checkpoint["probseg"].get("config")
    info = checkpoint["probseg"].get("info")
    if not isinstance(config, Mapping) or not isinstance(info, Mapping):
        raise ProbsegError(
            "E_CORRUPT_CHECKPOINT", f"'{file}' does not say how its model is built; it was not made by probseg fit"
        )
    strange = foreign_names(config)
    if strange and is_weights(file):
        raise ProbsegError(
            "E_UNSAFE_CHECKPOINT",
            f"the model.json beside '{file}' names a class outside probseg, which no exported folder may",
        )
    if strange and _configured(file.parent.parent / "config.yaml") != config:
        raise ProbsegError(
            "E_UNSAFE_CHECKPOINT",
            f"'{file}' asks for a class outside probseg, which only the config.yaml of its run may name; keep it in "
            "the run folder beside checkpoints/",
        )
    bound = DatasetInfo.from_dict(info, str(file))
    if is_weights(file):
        _check_fit(config, bound, checkpoint["state_dict"], file)
    model = build_model(config)
    model.bind(bound)
    _check_head(model, file)
    load_weights(model, checkpoint["state_dict"], file)
    return model.eval()


def foreign_names(config: Mapping[str, Any]) -> list[str]:
    """Texts in a model's configuration that name neither a class of probseg's own nor one of its options, sorted."""
    return sorted(set(_class_paths(config)) - _OWN - _WORDS)


def _check_fit(config: Mapping[str, Any], info: DatasetInfo, weights: Mapping[str, Tensor], file: Path) -> None:
    """A model must have the weights of its file before memory is taken for it: a few words can ask for terabytes."""
    if max(_repeats(config), default=0) > len(weights):
        raise _unfit(file, "asks for more models than the file has weights")
    with torch.device("meta"):
        model = build_model(config)
        model.bind(info)
    own = model.state_dict()
    for name in sorted(set(own) ^ set(weights)):
        raise _unfit(file, f"{'has' if name in own else 'lacks'} the weight '{name[:80]}', unlike the file")
    for name, value in own.items():
        if value.shape != weights[name].shape or value.dtype != weights[name].dtype:
            found = (tuple(weights[name].shape), weights[name].dtype)
            raise _unfit(
                file,
                f"has the weight '{name[:80]}' of shape {tuple(value.shape)} and type {value.dtype}, the file of "
                f"{found[0]} and {found[1]}",
            )


def _repeats(config: Any) -> Iterator[int]:
    """How many models each family that holds several is to have."""
    if isinstance(config, Mapping):
        yield from (v for k, v in config.items() if k in ("size", "cycles") and isinstance(v, int))
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _repeats(value)


def _unfit(file: Path, fault: str) -> ProbsegError:
    return ProbsegError("E_CLASS_MISMATCH", f"the model that model.json beside '{file}' describes {fault}")


def _check_head(model: SegmentationModule, file: Path) -> None:
    """Every network in it that says how many classes it gives must give those of the label set."""
    for part in model.modules():
        classes = getattr(part, "num_classes", None) if part is not model else None
        if isinstance(part, SegmentationModule) or not isinstance(classes, int) or classes == model.num_classes:
            continue
        raise ProbsegError(
            "E_CLASS_MISMATCH",
            f"the network in '{file}' gives {classes} classes but its label set has {model.num_classes}",
        )


def build_model(config: Mapping[str, Any]) -> SegmentationModule:
    """A model from its configuration, ``class_path`` and ``init_args`` as in YAML."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SegmentationModule, "model")
    try:
        model = parser.instantiate(parser.parse_object({"model": dict(config)})).model
    except (ArgumentError, ArgumentTypeError, TypeError, ValueError) as error:
        raise ProbsegError(
            "E_SCHEMA", f"the model cannot be built from its configuration: {str(error)[:300]}"
        ) from error
    assert isinstance(model, SegmentationModule)
    model.config = dict(config)
    return model


def _class_paths(config: Any) -> Iterator[str]:
    """Every text that could name something to import: jsonargparse takes a bare text where a class is wanted, too."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key != "warm_start" or not isinstance(value, str):
                yield from _class_paths(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _class_paths(value)
    elif isinstance(config, str):
        yield config


def _configured(path: Path) -> Any:
    if not path.is_file():
        return None
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("model")
