"""How everything on the page came about: commands, seeds, weights, versions, digests; and what to cite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from probseg.io.digest import file_sha256
from probseg.report.inputs import Inputs, StoredPredictions
from probseg.report.results import RunResult
from probseg.report.table import DASH

__all__ = ["PredictionNote", "Provenance", "digests", "prediction_notes", "run_notes", "versions_here"]

_RESULT_FILES = ("agreement.json", "evaluation.json", "results.csv", "manifest.json")


@dataclass(frozen=True)
class Provenance:
    """What is recorded of how one run came about, as text."""

    title: str
    entries: tuple[tuple[str, str], ...]
    warm_start: str
    command: str
    versions: str


@dataclass(frozen=True)
class PredictionNote:
    """What is recorded of one folder of predictions."""

    name: str
    model: str
    checkpoint: str
    settings: str
    versions: str
    scans: int


def run_notes(runs: Sequence[RunResult], titles: dict[str, str]) -> list[Provenance]:
    """Of every tested run; of what an evaluation does not record it says so."""
    return [_run(run, titles[str(run.folder)]) for run in runs]


def prediction_notes(predictions: Sequence[StoredPredictions]) -> list[PredictionNote]:
    """Of every folder of predictions, from its manifest."""
    return [_prediction(p) for p in predictions]


def digests(inputs: Inputs) -> list[tuple[str, str, str]]:
    """Folder, file and SHA-256 of the results that the page was made of."""
    folders = [r.folder for r in inputs.runs]
    folders += [a.folder for a in inputs.agreements] + [e.run.folder for e in inputs.evaluations]
    folders += [p.folder for p in inputs.predictions] + [d.path for d in inputs.datasets if d.path is not None]
    return [entry for folder in dict.fromkeys(folders) for entry in _digests_of(folder)]


def versions_here() -> str:
    """What this page was made with."""
    return ", ".join(f"{name} {version(name)}" for name in ("probseg", "numpy", "scipy", "matplotlib"))


def _digests_of(folder: Path) -> Iterator[tuple[str, str, str]]:
    names = (*_RESULT_FILES, "dataset.yaml", "cases.csv")
    for name in names if folder.is_dir() else ():
        if (folder / name).is_file():
            yield folder.resolve().name, name, file_sha256(folder / name)


def _prediction(predictions: StoredPredictions) -> PredictionNote:
    manifest = predictions.manifest
    settings = manifest.get("settings") or {}
    return PredictionNote(
        predictions.folder.resolve().name,
        predictions.model,
        str(manifest.get("checkpoint_sha256") or "not recorded"),
        "; ".join(f"{name.replace('_', ' ')} {_words(value)}" for name, value in settings.items()),
        ", ".join(f"{name} {value}" for name, value in (manifest.get("versions") or {}).items()) or "not recorded",
        len(predictions.case_ids),
    )


def _words(value: Any) -> str:
    """A setting for people; of a calibration or promise, which it is and the digest of its file."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        shown = {name: value[name] for name in ("method", "patients", "sha256") if name in value}
        return ", ".join(str(v) if name == "method" else f"{name} {v}" for name, v in shown.items()) or "given"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _run(run: RunResult, title: str) -> Provenance:
    summary = run.summary
    seconds = summary.get("train_seconds")
    fields = {
        "cases": summary.get("cases"),
        "patients": summary.get("patients"),
        "readings a case": summary.get("draws"),
        "seed": summary.get("seed"),
        "epochs": summary.get("epochs"),
        "training": None if seconds is None else f"{seconds:,.0f} s",
    }
    warm = summary.get("warm_start")
    if run.is_raters:
        start = "nothing was trained"
    elif "warm_start" not in summary:
        start = "not recorded"
    else:
        start = f"warm start: {_weights(str(warm))}" if warm else "from random weights"
    versions = summary.get("versions") or {}
    return Provenance(
        title,
        tuple((k, DASH if v is None else str(v)) for k, v in fields.items()),
        start,
        str(summary.get("command") or "not recorded"),
        ", ".join(f"{k} {v}" for k, v in versions.items()) or "not recorded",
    )


def _weights(text: str) -> str:
    """Whose weights a checkpoint inside a run folder holds; any other words as they are."""
    path = Path(text)
    inside = path.suffix == ".ckpt" and path.parent.name == "checkpoints"
    return f"weights of the run '{path.parent.parent.name}' ({path.name})" if inside else text
