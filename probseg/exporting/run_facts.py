"""What is known of a trained run: its data by split, its training, its test."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probseg.errors import ProbsegError, warn
from probseg.io.strict_yaml import read_yaml
from probseg.manifest import open_dataset
from probseg.records import SPLITS, CaseRecord, DatasetInfo
from probseg.report.reading import load_run
from probseg.report.results import RunResult

__all__ = ["RunFacts", "SplitFacts", "facts_of"]


@dataclass(frozen=True)
class SplitFacts:
    """One split: how many cases of how many patients, at which sites, and the fewest and most raters of a case."""

    name: str
    cases: int
    patients: int
    sites: tuple[str, ...]
    raters: tuple[int, int]


@dataclass(frozen=True)
class RunFacts:
    """What the files of a run folder say of it.

    Attributes:
        splits: of the data it was trained on; empty where they are not to be had.
        shared: how many patients are in more than one of them.
        training: ``training.json``, and versions; empty where there is none.
        result: figures of ``probseg test``; None where it was not tested.
    """

    splits: tuple[SplitFacts, ...] = ()
    shared: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)
    result: RunResult | None = None


def facts_of(run: Path | None, info: DatasetInfo, data: Path | None, checkpoint: Mapping[str, Any]) -> RunFacts:
    """Gather them; what is missing is warned of, W_NO_DATA and W_NO_RESULTS, and left out.

    Args:
        run: the run folder; None for a checkpoint that lies in none.
        info: what the model knows of its data.
        data: the dataset, where it is no longer where ``config.yaml`` says.
        checkpoint: as read.
    """
    config = {} if run is None or not (run / "config.yaml").is_file() else read_yaml(run / "config.yaml", finite=False)
    settings = config.get("data") or {} if isinstance(config, Mapping) else {}
    records = _records(settings, info, data)
    splits = [[r for r in records if r.split == split] for split in SPLITS]
    patients = Counter(patient for part in splits for patient in {r.patient_id for r in part})
    return RunFacts(
        tuple(_counted(name, part) for name, part in zip(SPLITS, splits, strict=True) if part),
        sum(count > 1 for count in patients.values()),
        _training(run, checkpoint),
        None if run is None else _result(run),
    )


def _records(settings: Mapping[str, Any], info: DatasetInfo, given: Path | None) -> Sequence[CaseRecord]:
    """Every case that the run could have seen."""
    root = given or settings.get("root")
    try:
        dataset = None if root is None else open_dataset(root)
    except ProbsegError:
        if given is not None:
            raise
        dataset = None
    if dataset is None or dataset.info.labels.names != info.labels.names or dataset.info.name != info.name:
        if given is not None:
            raise ProbsegError(
                "E_CLASS_MISMATCH", f"'{given}' is not the dataset '{info.name}' that the model was trained on"
            )
        warn(
            "W_NO_DATA",
            f"the dataset '{info.name}' is not where the run found it, so the card does not say how many cases it "
            "has; name it with --data",
        )
        return ()
    sites = settings.get("sites")
    return [r for r in dataset.records if sites is None or r.site in sites]


def _counted(split: str, records: Sequence[CaseRecord]) -> SplitFacts:
    raters = [len(r.readings) for r in records]
    return SplitFacts(
        split,
        len(records),
        len({r.patient_id for r in records}),
        tuple(sorted({r.site for r in records if r.site})),
        (min(raters), max(raters)),
    )


def _training(run: Path | None, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    path = None if run is None else run / "training.json"
    training = {} if path is None or not path.is_file() else json.loads(path.read_text(encoding="utf-8"))
    versions = {
        "probseg": checkpoint["probseg"].get("version"),
        "pytorch-lightning": checkpoint.get("pytorch-lightning_version"),
    }
    return {**training, "versions": {name: v for name, v in versions.items() if v}}


def _result(run: Path) -> RunResult | None:
    if not (run / "results.csv").is_file():
        warn("W_NO_RESULTS", f"run '{run}' has no results.csv, so the card has no figures; probseg test writes it")
        return None
    return load_run(run)
