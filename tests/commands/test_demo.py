"""The demo from the command line, with a few steps instead of minutes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from probseg.cli import main
from probseg.demo.run import FAMILIES

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "results"
    assert main(["demo", "--out", str(out), "--steps", "2"]) == 0
    return out


def test_every_family_and_the_raters_stand_in_one_tidy_table(demo: Path) -> None:
    with (demo / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["family", "metric", "value", "low", "high", "n"]
    assert {r["family"] for r in rows} == {*FAMILIES, "raters"}
    figures = {(r["family"], r["metric"]): r for r in rows}
    for family in FAMILIES:
        for metric in ("ged_v", "ged_u", "ged_floor", "hm_iou", "soft_dice", "nll", "ece", "brier"):
            row = figures[family, metric]
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"]) or metric == "ece"
            assert int(row["n"]) > 90
    assert figures["raters", "nll"]["value"] == ""  # a mask has no likelihood
    assert all(not r["value"].startswith("'") for r in rows)


def test_each_run_is_whole_and_says_where_it_started(demo: Path) -> None:
    for family in FAMILIES:
        run = demo / "runs" / family
        for name in ("config.yaml", "metrics.csv", "results.csv", "training.json", "checkpoints/best.ckpt"):
            assert (run / name).is_file(), name
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        start = config["model"]["init_args"].get("warm_start")
        assert bool(start) == (family in ("probabilistic_unet", "monte_carlo_dropout"))
    members = [demo / "runs" / "ensemble" / "members" / str(k) for k in range(3)]
    seeds = {yaml.safe_load((m / "config.yaml").read_text(encoding="utf-8"))["seed_everything"] for m in members}
    assert len(seeds) == 3
    assert all((m / "checkpoints" / "best.ckpt").is_file() for m in members)


def test_the_page_is_whole_and_self_contained(demo: Path) -> None:
    page = (demo / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") > 50
    assert 'src="http' not in page
    assert "Probabilistic U-Net" in page


def test_an_earlier_demo_is_replaced_only_when_asked(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(demo), "--steps", "2"]) == 2
    assert capsys.readouterr().err.startswith("error: E_OUTPUT_EXISTS: ")
    (demo / "notes.txt").write_text("mine")
    assert main(["demo", "--out", str(demo), "--steps", "2", "--overwrite"]) == 2
    assert "notes.txt" in capsys.readouterr().err
    assert (demo / "results.csv").is_file()


@pytest.mark.parametrize("steps", ["0", "-3"])
def test_steps_must_be_positive(steps: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "d"), "--steps", steps]) == 2
    assert "--steps must be at least 1" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
