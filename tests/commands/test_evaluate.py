"""``probseg evaluate``: from a model's files on disk to figures beside those of the raters."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

# jsonargparse 4.49 renamed a method that Lightning, and for older versions' sake probseg, still calls by its old name.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

import pytest
import torch

from probseg.cli import main
from probseg.data.synthetic import INFO, generate, write
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four synthetic patients of two sites, three of them for the test."""
    cases = generate(4, seed=4, shape=(4, 32, 40))
    return write(
        cases, tmp_path_factory.mktemp("synthetic") / "ct", seed=0, shares=(0.25, 0, 0, 0.75), with_truth=False
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a small model that was not trained but is not blind either."""
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("runs") / "stochastic_segmentation"
    unet = {"num_classes": INFO.labels.num_classes, "channels": [4, 8], "foreground": 0.85}
    arguments: dict[str, Any] = {"network": {"class_path": "probseg.networks.UNet", "init_args": unet}, "draws": 6}
    model = build_model({"class_path": "probseg.models.StochasticSegmentation", "init_args": arguments | {"rank": 2}})
    model.bind(INFO)
    with torch.no_grad():
        for layer in model.network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(2.0)
    (folder / "checkpoints").mkdir(parents=True)
    content = {"state_dict": model.state_dict(), "probseg": describe(model.info, model.config)}
    torch.save(content, folder / "checkpoints" / "best.ckpt")
    return folder


def predict(run: Path, dataset: Path, out: Path, *more: str) -> Path:
    assert main(["predict", str(run), str(dataset), "--out", str(out), *more]) == 0
    return out


@pytest.fixture(scope="module")
def predictions(run: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return predict(run, dataset, tmp_path_factory.mktemp("p") / "predictions", "--readings", "4")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_become_figures(predictions, dataset, tmp_path, capsys):
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(predictions), str(dataset), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "1 predicted cases are of other splits" in said
    assert said.rstrip().splitlines()[-1].startswith("next: probseg report")
    results = rows(out / "results.csv")
    of = {(r["family"], r["metric"], r["class"], r["site"]): r for r in results}
    for metric in ("ged_v", "ged_u", "ged_floor", "hm_iou", "dice", "soft_dice", "volume_crps", "coverage_95"):
        assert of["stochastic_segmentation", metric, "", ""]["value"], metric
    assert {r["site"] for r in results} == {"", "north", "south"}
    assert len(rows(out / "cases.csv")) == 3
    report = json.loads((out / "evaluation.json").read_text())
    assert (report["cases"], report["readings"]) == (3, [4])
    assert len(rows(out / "failures.csv")) == 26 and len(rows(out / "maps.csv")) == 4
    assert "foretell the raters" in said


def test_sites_that_the_model_has_seen(predictions, dataset, tmp_path, capsys):
    command = ["evaluate", str(predictions), str(dataset), "--out", str(tmp_path / "e"), "--seen-sites"]
    assert main([*command, "north"]) == 0
    assert "The model has no epistemic" in capsys.readouterr().out  # of one set of weights
    assert main([*command, "east", "--overwrite"]) == 2
    assert "E_ARGUMENT" in capsys.readouterr().err


def test_an_evaluation_is_reported_and_compared_like_a_tested_run(predictions, dataset, tmp_path, capsys):
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(predictions), str(dataset), "--out", str(out)]) == 0
    assert main(["report", str(out), "--out", str(tmp_path / "report.html")]) == 0
    assert "Stochastic segmentation network" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert main(["compare", str(out), "--out", str(tmp_path / "comparison")]) == 0
    assert "Stochastic segmentation network | 4 |" in capsys.readouterr().out  # four readings


def test_several_processes_find_the_same(predictions, dataset, tmp_path):
    for jobs in ("1", "2"):
        command = ["evaluate", str(predictions), str(dataset), "--jobs", jobs, "--out", str(tmp_path / jobs)]
        assert main(command) == 0
    assert (tmp_path / "1" / "results.csv").read_bytes() == (tmp_path / "2" / "results.csv").read_bytes()


def test_cases_that_a_model_was_made_with_are_told(predictions, dataset, tmp_path, capsys):
    command = ["evaluate", str(predictions), str(dataset), "--split", "train", "--out", str(tmp_path / "e")]
    assert main(command) == 0
    assert "W_SEEN_CASES" in capsys.readouterr().err


def test_without_readings_distances_stay_empty(run, dataset, tmp_path, capsys):
    predictions = predict(run, dataset, tmp_path / "p", "--split", "test", "--site", "north")
    assert main(["evaluate", str(predictions), str(dataset), "--out", str(tmp_path / "e")]) == 0
    printed = capsys.readouterr()
    assert "W_NO_READINGS" in printed.err and "have no prediction" in printed.out
    assert all(not r["value"] for r in rows(tmp_path / "e" / "results.csv") if r["metric"] == "ged_v"
               and r["family"] != "raters")  # fmt: skip


def test_what_is_refused(predictions, dataset, tmp_path, capsys):
    out = tmp_path / "e"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    cases = [
        ([str(predictions), str(dataset), "--out", str(out)], "E_OUTPUT_EXISTS"),
        ([str(tmp_path), str(dataset), "--out", str(tmp_path / "f")], "E_FILE_MISSING"),
        ([str(predictions), str(dataset), "--site", "east", "--out", str(tmp_path / "f")], "E_UNKNOWN_SITE"),
        ([str(predictions), str(dataset), "--jobs", "0", "--out", str(tmp_path / "f")], "E_ARGUMENT"),
        ([str(predictions), "lidc-sample", "--out", str(tmp_path / "f")], "E_CLASS_MISMATCH"),
    ]
    for words, code in cases:
        assert main(["evaluate", *words]) == 2, code
        error = capsys.readouterr().err
        assert code in error and len(error.strip().splitlines()) == 1
        assert not (tmp_path / "f").exists()
