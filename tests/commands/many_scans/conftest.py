"""A tiny model that was not trained, scans of noise, and what one quiet run leaves of a few of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# jsonargparse 4.49 renamed a method that Lightning, and for older versions' sake probseg, still calls by its old name.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

import numpy as np
import pytest
import torch

from probseg.case import Geometry
from probseg.cli import main
from probseg.inference import predictor, scan_files
from probseg.io import nifti
from probseg.labels import LabelClass, LabelSet
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model
from probseg.records import DatasetInfo

SCANS = 20
LABELS = LabelSet((LabelClass(0, "background"), LabelClass(1, "lesion")))
GRID = Geometry((3, 16, 16), (2.0, 1.0, 1.0))


def _save_run(folder: Path, info: DatasetInfo) -> Path:
    """A run folder of a tiny model that was not trained; its draws differ."""
    torch.manual_seed(2)
    unet = {"num_classes": info.labels.num_classes, "channels": [4, 8], "dropout": 0.4, "foreground": 0.6}
    network = {"class_path": "probseg.networks.UNet", "init_args": unet}
    arguments = {"network": network, "draws": 2}
    model = build_model({"class_path": "probseg.models.MonteCarloDropout", "init_args": arguments})
    model.bind(info)
    (folder / "checkpoints").mkdir(parents=True)
    content = {"state_dict": model.state_dict(), "probseg": describe(model.info, model.config)}
    torch.save(content, folder / "checkpoints" / "best.ckpt")
    return folder


def _tree(out: Path) -> dict[str, str]:
    """Relative path to hash of every file, hidden ones among them."""
    files = [p for p in sorted(out.rglob("*")) if not p.is_dir()]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="session")
def save_run() -> Callable[[Path, DatasetInfo], Path]:
    """``save_run(folder, info)`` leaves a run folder of a tiny model for such data."""
    return _save_run


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, str]]:
    """``tree(out)``: relative path to hash of every file, hidden ones among them."""
    return _tree


@pytest.fixture(scope="session")
def names() -> Callable[[list[Path]], list[str]]:
    """``names(scans)``: their case ids."""
    return lambda scans: [path.name.removesuffix(".nii.gz") for path in scans]


@pytest.fixture(scope="session")
def manifest() -> Callable[[Path], dict[str, Any]]:
    """``manifest(out)``: what is in it."""
    return lambda out: json.loads((out / "manifest.json").read_text())


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save_run(tmp_path_factory.mktemp("runs") / "tiny", DatasetInfo("tiny", 3, LABELS, (0.0, 100.0)))


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Scans of noise, whose order by name is not that in which they are given."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("scans")
    paths = [folder / f"s{(7 * k) % SCANS:02}.nii.gz" for k in range(SCANS)]
    for path in paths:
        nifti.write(path, rng.integers(0, 100, GRID.shape).astype(np.int16), GRID)
    return paths


@pytest.fixture(scope="session")
def few(scans: list[Path]) -> list[Path]:
    return scans[:6]


@pytest.fixture
def words(run: Path, few: list[Path], tmp_path: Path) -> list[str]:
    return ["predict", str(run), *map(str, few), "--out", str(tmp_path / "out")]


@pytest.fixture(scope="session")
def quiet(run: Path, few: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one run over a few scans leaves that nothing disturbed."""
    out = tmp_path_factory.mktemp("quiet") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_files, "preview_png", lambda *_: b"picture")
        assert main(["predict", str(run), *map(str, few), "--out", str(out)]) == 0
    return _tree(out)


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_files, "preview_png", lambda *_: b"picture")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, without_pictures: None) -> list[str]:
    """The scans that a network has seen in this process."""
    found: list[str] = []
    real = predictor.predict_scan

    def predict_scan(model: Any, case: Any, *rest: Any) -> Any:
        found.append(case.case_id)
        return real(model, case, *rest)

    monkeypatch.setattr(predictor, "predict_scan", predict_scan)
    return found
