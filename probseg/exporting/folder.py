"""The exported folder: written whole beside its place, loaded once to see that it loads, then put there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from probseg.calibrators import calibrator_path, read_calibrator, write_calibrator
from probseg.errors import ProbsegError, warn
from probseg.exporting.about import About
from probseg.exporting.deterministic_part import DeterministicPart
from probseg.exporting.model_card import model_card
from probseg.exporting.onnx_file import ONNX, OnnxFile, write_onnx
from probseg.exporting.run_facts import RunFacts
from probseg.io.digest import file_sha256
from probseg.io.out_folder import check_out
from probseg.models import SegmentationModule, load_model
from probseg.models.calibration import use_calibration
from probseg.models.exported import DESCRIPTION, FORMAT, WEIGHTS
from probseg.models.loading import foreign_names

__all__ = [
    "CARD",
    "KEPT",
    "Exported",
    "check_place",
    "export_model",
    "graph_of",
    "own_config",
    "replacing_folder",
    "sizes_of",
]

CARD = "README.md"
_CALIBRATION = calibrator_path(Path(WEIGHTS))
KEPT = (CARD, WEIGHTS, DESCRIPTION, _CALIBRATION.name, _CALIBRATION.with_suffix(".json").name)
"""The files of an exported folder, but for the ONNX file."""


@dataclass(frozen=True)
class Exported:
    """What was written: the names of the files with their sizes in bytes, and the ONNX file if there is one."""

    files: Mapping[str, int]
    onnx: OnnxFile | None


def own_config(model: SegmentationModule) -> dict[str, Any]:
    """How to build the model, without the path that its training may have begun from.

    Raises:
        ProbsegError: E_NOT_EXPORTABLE where it names a class outside probseg, which no exported folder may.
    """
    assert model.config is not None  # load_model sets it
    config = _without_start(model.config)
    foreign = foreign_names(config)
    if foreign:
        raise ProbsegError(
            "E_NOT_EXPORTABLE",
            f"the model is made of '{foreign[0][:80]}', which is not probseg's own, and an exported folder may name "
            "nothing else; pass the run folder on instead",
        )
    return config


def _without_start(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {k: None if k == "warm_start" else _without_start(v) for k, v in config.items()}
    return [_without_start(v) for v in config] if isinstance(config, list | tuple) else config


def check_place(out: Path, overwrite: bool) -> None:
    """Refuse a place that holds something: E_OUTPUT_EXISTS; what is overwritten must be an export and nothing else."""
    check_out(out, overwrite)
    strange = sorted(p.name for p in out.iterdir() if p.name not in (*KEPT, ONNX)) if out.is_dir() else []
    if strange:
        raise ProbsegError(
            "E_OUTPUT_EXISTS",
            f"'{out}' holds '{strange[0][:80]}', which no export writes, and would be replaced whole; choose another "
            "--out",
        )


def export_model(
    model: SegmentationModule,
    checkpoint: Path,
    facts: RunFacts,
    about: About,
    out: Path,
    onnx: bool = True,
    overwrite: bool = False,
) -> Exported:
    """Write a trained model as a folder of safetensors, description, card and, if asked for, ONNX.

    Args:
        model: from `load_model`, with its calibrator in use if it has one.
        checkpoint: the file that its weights come from.
        facts: what the card says of data, training and test.
        about: what people say of it.
        out: the folder; it is there whole or not at all.
        onnx: whether to write ``model.onnx``.
        overwrite: replace an export that is there.

    Raises:
        ProbsegError: E_NOT_EXPORTABLE, E_OUTPUT_EXISTS, E_NOT_WRITABLE; the codes of `write_onnx`.
    """
    config = own_config(model)
    check_place(out, overwrite)
    with replacing_folder(out) as folder:
        weights = folder / WEIGHTS
        _write_weights(model, weights)
        description = _description(model, config, weights, checkpoint)
        text = json.dumps(description, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        stored = None if model.calibrator is None else read_calibrator(checkpoint)
        if stored is not None:
            write_calibrator(weights, stored.calibrator, stored.config, stored.sizes, stored.classes, stored.record)
        _require_same(model, folder)
        graph = graph_of(model, folder / ONNX, description) if onnx else None
        card = model_card(model, description, facts, about, graph, sizes_of(folder))
        (folder / CARD).write_text(card, encoding="utf-8")
        for name in sizes_of(folder):  # safetensors writes for its owner's eyes only
            (folder / name).chmod((folder / CARD).stat().st_mode)
        files = sizes_of(folder)
    return Exported(files, graph)


def graph_of(model: SegmentationModule, path: Path, description: Mapping[str, Any]) -> OnnxFile | None:
    """The ONNX file; None with a warning where the model cannot be a graph, for which the rest need not wait."""
    try:
        return write_onnx(DeterministicPart(model).eval(), path, _metadata(description))
    except ProbsegError as error:
        if error.code != "E_NO_ONNX":
            raise
        warn("W_NO_ONNX", f"{ONNX} is left out: {error.message}")
        return None


def _write_weights(model: SegmentationModule, path: Path) -> None:
    state: dict[str, Tensor] = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
        if not name.startswith("calibrator.")
    }
    save_file(state, path, metadata={"format": "pt"})


def _description(
    model: SegmentationModule, config: Mapping[str, Any], weights: Path, checkpoint: Path
) -> dict[str, Any]:
    from probseg import __version__

    assert model.info is not None  # load_model binds it
    return {
        "format": FORMAT,
        "version": __version__,
        "family": type(model).__name__,
        "weights_sha256": file_sha256(weights),
        "checkpoint_sha256": file_sha256(checkpoint),
        "model": dict(config),
        "dataset": model.info.to_dict(),
    }


def _metadata(description: Mapping[str, Any]) -> dict[str, Any]:
    """What the ONNX file says of itself."""
    dataset = description["dataset"]
    return {
        "version": description["version"],
        "family": description["family"],
        "weights_sha256": description["weights_sha256"],
        "window": dataset["window"],
        "classes": [c["name"] for c in dataset["labels"]["classes"]],
    }


def _require_same(model: SegmentationModule, folder: Path) -> None:
    """The folder gives back every weight as it was, and the calibrator; what cannot be loaded is not left."""
    again = load_model(folder)
    use_calibration(again, folder / WEIGHTS)
    own = {name: v for name, v in model.state_dict().items() if not name.startswith("calibrator.")}
    found = again.state_dict()
    same = all(torch.equal(value.cpu(), found[name]) for name, value in own.items())
    if not same or (again.calibration is None) != (model.calibration is None):
        raise ProbsegError("E_NOT_EXPORTABLE", "the exported weights do not come back as they were; report this model")


def sizes_of(folder: Path) -> dict[str, int]:
    """Names of the files of a folder, sorted, and their sizes in bytes."""
    return {p.name: p.stat().st_size for p in sorted(folder.iterdir())}


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block ends well."""
    temporary, old = (out.with_name(f".tmp{os.getpid()}-{name}") for name in ("export", "replaced"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        if out.is_dir():
            out.rename(old)
        temporary.rename(out)
    except OSError as error:
        if old.is_dir() and not out.exists():
            old.rename(out)
        raise ProbsegError("E_NOT_WRITABLE", f"'{out}' cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
