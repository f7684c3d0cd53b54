"""From a challenge's release to its table: import, one step of training, prediction, evaluation, results.md."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from probseg.cli import main
from probseg.io.strict_yaml import read_yaml
from probseg.models import load_model

pytestmark = pytest.mark.journey


def evaluated(run: Path, challenge: str, out: Path, *words: str) -> list[dict[str, str]]:
    """The rows of ``challenge.csv`` of a run on its own test patients."""
    data = read_yaml(run / "config.yaml")["data"]["root"]
    assert main(["predict", str(run), str(data), "--split", "test", *words, "--out", str(out / "predictions")]) == 0
    words = ("--challenge", challenge, "--out", str(out / challenge))
    assert main(["evaluate", str(out / "predictions"), str(data), *words]) == 0
    with (out / challenge / "challenge.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_curvas(
    trained: Callable[..., Path], repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("curvas/stochastic_segmentation")
    rows = evaluated(run, "curvas", tmp_path, "--window", "8", "16", "16", "--draws", "2", "--readings", "2")
    known = {(r["metric"], r["class"], r["rater"]): r for r in rows if r["value"]}
    assert {("ece", "", ""), ("ece", "", "rater-3"), ("confidence", "liver", "")} <= set(known)
    assert {("volume_crps_ml", "pancreas", ""), ("consensus_dice", "liver", "")} <= set(known)
    assert 0 <= float(known["ece", "", ""]["value"]) <= 1 and known["ece", "", ""]["n"] == "1"
    assert "challenge_cases.csv" in capsys.readouterr().out
    write_table(repository, tmp_path / "curvas", tmp_path)
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| | consensus_dice |" in page and "## pancreas" in page and "\n| curvas | " in page
    assert (tmp_path / "results.csv").read_text(encoding="utf-8").startswith("family,metric,class,rater,value")


def write_table(repository: Path, evaluation: Path, out: Path) -> None:
    spec = importlib.util.spec_from_file_location("challenge_table", repository / "experiments" / "challenge_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["challenge_table.py", str(evaluation), "--out", str(out)])
        module.main()


def test_qubiq_of_four_channels(trained: Callable[..., Path], four_channels: Path, tmp_path: Path) -> None:
    channels = "--model.init_args.network.init_args.in_channels=4"
    run = trained("qubiq/deterministic", channels, f"--data.root={four_channels}")
    assert load_model(run).network.in_channels == 4
    rows = evaluated(run, "qubiq", tmp_path)
    assert [(r["metric"], r["class"]) for r in rows] == [
        *(("level_dice", ""), ("level_dice_above", "")),
        *(("level_dice", "brain-tumor-1"), ("level_dice_above", "brain-tumor-1")),
    ]
    assert all(0 <= float(r["value"]) <= 1 for r in rows)
    assert main(["check", str(four_channels)]) == 0
    given = [str(p) for p in (tmp_path / "qubiq", tmp_path / "predictions", four_channels)]
    assert main(["report", *given, "--out", str(tmp_path / "report.html")]) == 0


def test_a_challenge_that_does_not_fit_is_refused_at_once(
    four_channels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(tmp_path), str(four_channels), "--challenge", "curvas", "--out", str(tmp_path / "e")]
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: E_NDIM: CURVAS measures volumes")
