"""Models built again from a run folder or a checkpoint."""

from __future__ import annotations

from argparse import ArgumentError, ArgumentTypeError
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.models.checkpoints import best_checkpoint, load_weights, read_checkpoint
from probseg.networks.blocks import BLOCKS, NORMS
from probseg.records import DatasetInfo

__all__ = ["build_model", "load_model"]

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
    info = checkpoint["probseg"].get("info")
    if not isinstance(config, Mapping) or not isinstance(info, Mapping):
        raise ProbsegError(
            "E_CORRUPT_CHECKPOINT", f"'{file}' does not say how its model is built; it was not made by probseg fit"
        )
    strange = sorted(set(_class_paths(config)) - _OWN - _WORDS)
    if strange and _configured(file.parent.parent / "config.yaml") != config:
        raise ProbsegError(
            "E_UNSAFE_CHECKPOINT",
            f"'{file}' asks for a class outside probseg, which only the config.yaml of its run may name; keep it in "
            "the run folder beside checkpoints/",
        )
    model = build_model(config)
    model.bind(DatasetInfo.from_dict(info, str(file)))
    _check_head(model, file)
    load_weights(model, checkpoint["state_dict"], file)
    return model.eval()


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
