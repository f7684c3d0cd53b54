"""From one hospital to another through the real command line: fit, adapt with each method, test, compare."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from probseg.adaptation import AdaptationNote
from probseg.calibrators import calibrator_path
from probseg.cli import main
from probseg.io.digest import file_sha256
from probseg.manifest import open_dataset
from probseg.models import load_model
from probseg.models.checkpoints import read_checkpoint

pytestmark = pytest.mark.journey

UNET = {"num_classes": 9, "channels": [4, 8], "foreground": 0.3}
MODEL = {
    "class_path": "probseg.models.StochasticSegmentation",
    "init_args": {
        "network": {"class_path": "probseg.networks.UNet", "init_args": UNET},
        **{"rank": 2, "samples": 2, "draws": 3},
        "warm_start": None,
    },
}
SETTINGS = {
    "NormalisationStatistics": ["images=6"],
    "EntropyMinimisation": ["steps=2", "images=6"],
    "FineTune": ["steps=2"],
    "Recalibration": [],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve synthetic patients of two sites, both in every split."""
    folder = tmp_path_factory.mktemp("synthetic") / "ct"
    words = ["--cases", "12", "--seed", "1", "--shape", "3", "32", "40", "--raters", "2"]
    assert main(["import", "synthetic", "--out", str(folder), *words]) == 0
    assert main(["split", str(folder), "--shares", "0.4", "0.2", "0.2", "0.2", "--overwrite"]) == 0
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    """A run of two steps on the site north."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "model.yaml").write_text(yaml.safe_dump({"model": MODEL}), encoding="utf-8")
    words = ["--data.slices=true", "--data.crop=[16,16]", "--data.batch_size=4", "--data.sites=[north]"]
    words += ["--trainer.accelerator=cpu", "--trainer.max_steps=2", "--trainer.limit_val_batches=1"]
    run = folder / "run"
    config = str(folder / "model.yaml")
    assert main(["fit", "-c", config, f"--data.root={dataset}", *words, f"--out={run}"]) == 0
    return run


@pytest.fixture(scope="module")
def adapt(source: Path, dataset: Path) -> Callable[..., int]:
    """``probseg adapt`` to the site south with two patients."""

    def call(method: str, out: Path, *words: str, run: Path = source) -> int:
        settings = SETTINGS.get(method, [])
        chosen = ["--split", "train", "validation", "calibration", "--cases", "2"]
        head = ["adapt", str(run), "--method", method, "--data.root", str(dataset), "--site", "south"]
        return main([*head, *(["--set", *settings] if settings else []), *chosen, "--out", str(out), *words])

    return call


@pytest.fixture(scope="module")
def runs(adapt: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The source adapted with each method."""
    folder = tmp_path_factory.mktemp("adapted")
    for method in SETTINGS:
        assert adapt(method, folder / method) == 0
    return {method: folder / method for method in SETTINGS}


@pytest.mark.parametrize("method", SETTINGS)
def test_a_run_of_its_own_that_says_with_whom(method: str, runs: dict[str, Path], source: Path, dataset: Path):
    run = runs[method]
    note = AdaptationNote.read(run)
    assert note is not None and note["method"]["class_path"].endswith(f".{method}")
    checkpoint = source / "checkpoints" / "best.ckpt"
    assert note["checkpoint_sha256"] == file_sha256(checkpoint) and note["site"] == "south"
    records = {r.case_id: r for r in open_dataset(dataset).records}
    used = [records[case_id] for case_id in note["cases"]]
    assert len(used) == 2 and all(r.site == "south" and r.split != "test" for r in used)
    assert set(note["patients"]) == {r.patient_id for r in used}
    assert not set(note["patients"]) & set(note["tested_patients"])
    assert read_checkpoint(run / "checkpoints" / "best.ckpt")["probseg"]["adaptation"] == note
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert config["data"]["sites"] == ["south"] and config["model"] == _model_of(source)
    same = _same_weights(run, source)
    assert same == (method == "Recalibration")
    assert calibrator_path(run / "checkpoints" / "best.ckpt").is_file() == (method == "Recalibration")


def _model_of(run: Path) -> Any:
    return yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["model"]


def _same_weights(a: Path, b: Path) -> bool:
    first, second = (load_model(run).state_dict() for run in (a, b))
    return all(torch.equal(first[name], second[name]) for name in first)


def test_it_is_tested_on_others_and_by_site(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    both = {"", "north", "south"}
    for method, words, sites in (("FineTune", ["--data.sites=null"], both), ("Recalibration", [], None)):
        assert main(["test", "-c", str(runs[method] / "config.yaml"), *words]) == 0
        with (runs[method] / "results.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["metric"] == "nll" and not row["class"]]
        assert rows and (sites is None or {row["site"] for row in rows} == sites)
        summary = json.loads((runs[method] / "test" / "summary.json").read_text(encoding="utf-8"))
        assert summary["adaptation"] == AdaptationNote.read(runs[method])
        with (runs[method] / "test" / "cases.csv").open(newline="", encoding="utf-8") as file:
            tested = {row["patient_id"] for row in csv.DictReader(file) if row["site"] == "south"}
        assert tested == set(summary["adaptation"]["tested_patients"])
        assert tested and not tested & set(summary["adaptation"]["patients"])
    words = [str(runs["FineTune"]), str(runs["Recalibration"])]
    assert main(["compare", *words, "--out", str(tmp_path / "comparison")]) == 0
    assert "2 seeds" not in capsys.readouterr().out
    assert main(["report", *words, "--out", str(tmp_path / "report.html")]) == 0


def test_a_patient_who_was_used_is_not_tested(
    runs: dict[str, Path], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Splits that are dealt anew after the adaptation."""
    note = AdaptationNote.read(runs["FineTune"])
    assert note is not None
    moved = shutil.copytree(dataset, tmp_path / "moved", ignore=shutil.ignore_patterns(".store"))
    with (moved / "cases.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["split"] = "test" if row["patient_id"] == note["patients"][0] else row["split"]
    with (moved / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    capsys.readouterr()
    assert main(["test", "-c", str(runs["FineTune"] / "config.yaml"), f"--data.root={moved}"]) == 2
    assert re.match(r"error: E_SPLIT_LEAK: 1 of the patients to be tested, such as 'patient-", capsys.readouterr().err)


@pytest.mark.parametrize("method", ["NormalisationStatistics", "EntropyMinimisation"])
def test_unlabelled_methods_need_no_masks_and_run_after_one_another(
    method: str, runs: dict[str, Path], dataset: Path, tmp_path: Path, adapt: Callable[..., int]
):
    """The masks on disk are broken, the store is not there, and the run is the same."""
    blind = shutil.copytree(dataset, tmp_path / "blind", ignore=shutil.ignore_patterns(".store"))
    for mask in (blind / "masks").rglob("*.nii.gz"):
        mask.write_bytes(b"no mask")
    chosen = ["--split", "train", "validation", "calibration", "--cases", "2", "--set", *SETTINGS[method]]
    words = ["--data.root", str(blind), "--site", "south", *chosen, "--out", str(tmp_path / "out")]
    source = Path(AdaptationNote.read(runs[method])["run"])  # type: ignore[index]
    assert main(["adapt", str(source), "--method", method, *words]) == 0
    assert _same_weights(tmp_path / "out", runs[method])
    assert not (blind / ".store").exists()
    assert adapt(method, tmp_path / "again", run=tmp_path / "out") == 0
    note = AdaptationNote.read(tmp_path / "again")
    assert note is not None and note["before"] == AdaptationNote.read(tmp_path / "out")


def test_the_same_seed_gives_the_same_run_and_it_may_be_replaced(
    runs: dict[str, Path], adapt: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "again"
    assert adapt("FineTune", out) == 0
    assert _same_weights(out, runs["FineTune"])
    text = capsys.readouterr().out
    assert "FineTune: 2 patients (2 labelled cases) of site 'south'" in text and "none of whom was used" in text
    assert adapt("FineTune", out) == 2
    assert capsys.readouterr().err.startswith("error: E_OUTPUT_EXISTS")
    assert adapt("FineTune", out, "--overwrite", "--seed", "1") == 0
    assert not _same_weights(out, runs["FineTune"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--method", "Nonsense"], "E_SCHEMA: --method Nonsense names no class; the methods are EntropyMinimisation"),
        (["--method", "FineTune", "--set", "stepz=3"], "E_SCHEMA: --method FineTune does not take --set stepz=3"),
        (["--method", "FineTune", "--set", "steps=0"], "E_SCHEMA: FineTune needs steps of at least 1"),
        (["--method", "FineTune", "--set", "steps"], "E_USAGE"),
        (["--method", "FineTune", "--site", "west"], "E_UNKNOWN_SITE"),
        (["--method", "FineTune", "--cases", "99"], "E_USAGE: --cases 99 must lie between"),
        (["--method", "FineTune", "--split", "test"], "E_USAGE"),
        (["--method", "FineTune", "--seed", "-1"], "E_USAGE"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    words: list[str], code: str, source: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    base = ["adapt", str(source), "--data.root", str(dataset), "--site", "south", "--out", str(out)]
    assert main([*base, *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"error: {code}")
    assert not out.exists()


def test_what_does_not_fit_is_refused(source: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--method", "FineTune", "--data.root", str(dataset), "--site", "south"]
    assert main(["adapt", str(source), *words, "--out", str(source), "--overwrite"]) == 2
    assert capsys.readouterr().err.startswith("error: E_OUTPUT_EXISTS")
    bare = tmp_path / "bare"
    shutil.copytree(source / "checkpoints", bare / "checkpoints")
    assert main(["adapt", str(bare), *words, "--out", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.startswith("error: E_FILE_MISSING")
    other = shutil.copytree(dataset, tmp_path / "other", ignore=shutil.ignore_patterns(".store"))
    description = yaml.safe_load((other / "dataset.yaml").read_text(encoding="utf-8"))
    description["window"] = [-500.0, 500.0]
    (other / "dataset.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    words[3] = str(other)
    assert main(["adapt", str(source), *words, "--out", str(tmp_path / "x")]) == 2
    assert "E_SCHEMA: dataset 'synthetic-ct' has the window [-500.0, 500.0]" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_site_of_the_training_is_told(
    source: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--method", "NormalisationStatistics", "--set", "images=2", "--data.root", str(dataset)]
    assert main(["adapt", str(source), *words, "--site", "north", "--out", str(tmp_path / "own")]) == 0
    assert "warning: W_KNOWN_SITE" in capsys.readouterr().err
