"""What is kept of a run folder, and that tables read it like the run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from probseg.report import load_run
from probseg.report.leaderboard import to_markdown

RESULTS = """family,metric,value,low,high,n,site,class
soft_labels,ged_v,0.25,0.125,0.5,2,,
soft_labels,nll,0.5,,,2,,
soft_labels,nll,0.75,,,2,,lung
soft_labels,nll,0.875,,,2,,heart
soft_labels,volume_error,'-0.5,'-0.75,'-0.25,2,,
"""
CASES = "case_id,patient_id,site,ged_v,nll\na,p,north,0.25,0.5\nb,q,north,'-0.25,0.5\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Callable[[str], ModuleType]) -> Path:
    """A tested run whose training had a budget; the checkpoint is made up."""
    folder = tmp_path / "work" / "runs" / "mine"
    training = {"steps": 3, "seed": 0, "warm_start": str(folder.parent / "other" / "checkpoints" / "best.ckpt")}
    files = {"training.json": json.dumps(training), "results.csv": RESULTS, "test/cases.csv": CASES}
    files["test/summary.json"] = json.dumps({"draws": 4, "adaptation": {"cases": ["a"]}, "command": "probseg test"})
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "checkpoints").mkdir()
    torch.save({"callbacks": {"CpuBudget": {"cpu_seconds": 90.04}}}, folder / "checkpoints" / "last.ckpt")
    script("keep_records")  # first, so that its processor_time and the one patched are the same
    time = script("processor_time")
    monkeypatch.setattr(time, "read_checkpoint", lambda path: torch.load(path, weights_only=True))
    return folder


def keep(script: Callable[[str], ModuleType], *words: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["keep_records.py", *words])
        script("keep_records").main()


def test_a_record_is_read_like_its_run(run: Path, tmp_path: Path, script: Callable[[str], ModuleType]) -> None:
    keep(script, str(run), "--out", str(tmp_path / "records"))
    record = tmp_path / "records" / "mine"
    assert to_markdown([load_run(record)]) == to_markdown([load_run(run)])
    assert (record / "results.csv").read_text(encoding="utf-8") == RESULTS
    assert sorted(path.name for path in record.rglob("*.*")) == [
        *("processor_time.json", "results.csv", "summary.json", "training.json"),
    ]
    assert json.loads((record / "training.json").read_text(encoding="utf-8"))["warm_start"] == (
        "runs/other/checkpoints/best.ckpt"
    )
    assert "adaptation" not in (record / "test" / "summary.json").read_text(encoding="utf-8")
    seconds = script("processor_time").processor_seconds
    assert seconds(run) == 90.04 and seconds(record) == 90.0
    assert seconds(tmp_path) is None, "nothing was trained there"


def test_only_what_is_named(run: Path, tmp_path: Path, script: Callable[[str], ModuleType]) -> None:
    keep(script, str(run), "--out", str(tmp_path), "--figures", "nll", "--classes", "lung")
    rows = (tmp_path / "mine" / "results.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1:] == ["soft_labels,nll,0.5,,,2,,", "soft_labels,nll,0.75,,,2,,lung"]
    cases = (tmp_path / "mine" / "test" / "cases.csv").read_text(encoding="utf-8")
    assert cases == "case_id,patient_id,site,nll\na,p,north,0.5\nb,q,north,0.5\n"


def test_what_is_no_run_is_refused(tmp_path: Path, script: Callable[[str], ModuleType]) -> None:
    with pytest.raises(SystemExit):
        keep(script, str(tmp_path), "--out", str(tmp_path / "records"))
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("fit -c /a/b/experiments/cells/data.yaml --out=runs/x", "fit -c experiments/cells/data.yaml --out=runs/x"),
        ("--data.root=/elsewhere/deep/lidc_128", "--data.root=lidc_128"),
        ('"/some/where/runs/x"', '"runs/x"'),
        ("../runs/x and n/a and https://a.org/b", "../runs/x and n/a and https://a.org/b"),
        ("C:\\Users\\me\\data", "data"),
    ],
)
def test_paths(text: str, shorter: str, script: Callable[[str], ModuleType]) -> None:
    assert script("keep_records").relative_paths(text, Path("/some/where")) == shorter
