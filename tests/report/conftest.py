"""Run folders as `probseg test` leaves them, made up and small."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

METRICS = ("ged_v", "ged_u", "ged_floor", "hm_iou", "soft_dice", "nll", "brier", "diversity", "rater_diversity")


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def examples(space: tuple[int, ...] = (12, 10), cases: tuple[str, ...] = ("c0", "c1"), classes: int = 2) -> dict:
    """Arrays of examples.npz whose parts sum to the entropy; with slices, the raters differ on slice 1 only."""
    rng = np.random.default_rng(0)
    k = len(cases)
    masks = np.zeros((k, 4, *space), np.uint8)
    masks[..., 3:8, 3:7] = 1
    masks[(slice(None), 0, *((1,) if len(space) == 3 else ()), slice(3, 5))] = 0
    foreground = np.broadcast_to(masks.mean(axis=1), (k, *space)) * 0.8 + 0.1
    mean = np.stack([1 - foreground, *[foreground / (classes - 1)] * (classes - 1)], axis=1)
    entropy = -(mean * np.log(mean)).sum(axis=1)
    readings = np.stack([masks[:, s % 4] for s in range(8)], axis=1)
    for one in range(8):
        readings[:, one, ..., one, 0] = 1  # no two alike
    return {
        "case_id": np.array(cases),
        "image": rng.random((k, *space), dtype=np.float32),
        "masks": masks,
        "rated": np.ones((k, 4, *space), bool),
        "mean": mean.astype(np.float16),
        "entropy": entropy.astype(np.float16),
        "epistemic": (0.5 * entropy).astype(np.float16),
        "ambiguity": (0.3 * entropy).astype(np.float16),
        "noise": (0.2 * entropy).astype(np.float16),
        "readings": readings,
    }


@pytest.fixture
def make_examples() -> Callable[..., dict]:
    """Arrays of examples.npz to change before they are written."""
    return examples


def write(
    family: str,
    class_name: str | None = None,
    values: dict[str, float | None] | None = None,
    *,
    per_case: dict[str, list[float]] | None = None,
    summary: dict[str, Any] | None = None,
    arrays: dict[str, Any] | None = None,
    parent: Path,
) -> Path:
    """A run folder; ``values`` replaces figures (None: undefined), ``summary`` entries of summary.json."""
    run = parent / family
    (run / "test").mkdir(parents=True)
    figures = dict.fromkeys(METRICS, 0.25) | {"ece": 0.034} | (values or {})
    rows = [[family, m, *(("", "", "") if v is None else (v, v - 0.02, v + 0.02)), 6] for m, v in figures.items()]
    write_csv(run / "results.csv", ["family", "metric", "value", "low", "high", "n"], rows)
    columns = per_case or {"ged_v": [0.2, 0.3, 0.25, 0.35, 0.3, 0.22], "nll": [0.1] * 6}
    lines = [[f"c{k}", f"p{k // 2}", "", *(v[k] for v in columns.values())] for k in range(6)]
    write_csv(run / "test" / "cases.csv", ["case_id", "patient_id", "site", *columns], lines)
    bins = [
        [family, 0, 0.0, 0.5, "", "", 0],
        [family, 1, 0.5, 0.75, 0.6, 0.5, 40],
        [family, 2, 0.75, 1, 0.9, 0.8, 99],
    ]
    header = ["family", "bin", "low", "high", "confidence", "frequency", "count"]
    write_csv(run / "test" / "reliability.csv", header, bins)
    binary = {"classes": [{"value": 0, "name": "background"}, {"value": 1, "name": "nodule"}]}
    dataset = {
        "name": "made-up",
        "dimensions": 2,
        "labels": binary,
        "window": [0.0, 1.0],
        "raters": {"stable": False},
    }
    record = {
        "family": family,
        "class_path": class_name and f"probseg.models.x.{class_name}",
        "dataset": {**dataset, "note": "Made up, doi:10.7937/K9/TCIA.2015.LO9QL9SX."},
        "cases": 6,
        "patients": 3,
        "raters_max": 4,
        "draws": 1 if class_name in (None, "Deterministic") else 16,
        "seed": 7,
        "train_seconds": 61.25,
        "warm_start": "deterministic trunk" if class_name == "ProbabilisticUNet" else None,
        "epochs": 3,
        "bootstrap": 1000,
        "versions": {"probseg": "0.1.0"},
        "command": f"probseg test -c {family}.yaml",
    }
    (run / "test" / "summary.json").write_text(json.dumps(record | (summary or {})), encoding="utf-8")
    np.savez_compressed(run / "test" / "examples.npz", **(arrays or examples()))
    return run


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """``write(family, class_name, values, ..., parent=folder)``."""
    return write


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """The same in the test's own folder."""
    return lambda *args, **kwargs: write(*args, **{"parent": tmp_path, **kwargs})
