"""Run folders as `probseg test` leaves them, made up and small."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

# jsonargparse 4.49 renamed a method that Lightning, and for older versions' sake probseg, still calls by its old name.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

import numpy as np
import pytest
import torch

from probseg.cli import main
from probseg.data.synthetic import INFO, generate
from probseg.data.synthetic import write as write_dataset
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model

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


VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that every element is closed in order, and keeps the text and the attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="session")
def parsed() -> Callable[[str], Page]:
    """A page as elements, every one of which is closed in order."""
    return Page


CANARY = "canary-4711"
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A dataset, predictions, and what agreement and evaluate say of them, by the real commands.

    The patients' names and the folder that all lies in hold `CANARY`; a rater's name and a class's are markup.
    """
    root = tmp_path_factory.mktemp(CANARY)
    data = write_dataset(
        generate(3, seed=4, shape=(6, 40, 48)), root / "ct", seed=0, shares=(0, 0, 0, 1), with_truth=False
    )
    table = (data / "cases.csv").read_text().replace("patient-", f"{CANARY}-")
    (data / "cases.csv").write_text(table.replace(",rater-2,", f",{EVIL},"))
    torch.manual_seed(2)
    unet = {"num_classes": INFO.labels.num_classes, "channels": [4, 8], "foreground": 0.85}
    arguments: dict[str, Any] = {"network": {"class_path": "probseg.networks.UNet", "init_args": unet}, "draws": 6}
    model = build_model({"class_path": "probseg.models.StochasticSegmentation", "init_args": arguments | {"rank": 2}})
    model.bind(INFO)
    with torch.no_grad():
        for layer in model.network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(2.0)  # not trained, but not blind either
    run = root / "runs" / "stochastic_segmentation"
    (run / "checkpoints").mkdir(parents=True)
    content = {"state_dict": model.state_dict(), "probseg": describe(model.info, model.config)}
    torch.save(content, run / "checkpoints" / "best.ckpt")
    folders = {"dataset": data} | {k: root / k for k in ("predictions", "agreement", "evaluation")}
    for command in (
        ["predict", run, data, "--out", folders["predictions"], "--readings", "4"],
        ["agreement", data, "--predictions", folders["predictions"], "--out", folders["agreement"]],
        ["evaluate", folders["predictions"], data, "--out", folders["evaluation"]],
    ):
        assert main([str(word) for word in command]) == 0
    return folders


@pytest.fixture(scope="session")
def study_page(study: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all of `study`, with two cases as pictures and in the viewer."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    assert main(["report", *map(str, study.values()), "--viewer", "2", "--worst", "2", "--out", str(out)]) == 0
    return out
