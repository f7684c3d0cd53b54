"""Calibration through the real command line: fit, calibrate, test, predict, report; and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from probseg.cli import main
from probseg.data.synthetic import DEFAULT_SITES, default_raters, generate, write

pytestmark = pytest.mark.journey

FIGURES = ("ece", "mce", "ace", "brier", "nll")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def results(run: Path) -> dict[str, float]:
    return {r["metric"]: float(r["value"]) for r in rows_of(run / "results.csv") if r["value"] and not r.get("site")}


@pytest.fixture(scope="module")
def run(fit_words: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that was trained a little."""
    folder = tmp_path_factory.mktemp("runs") / "deterministic"
    more = ("--data.batch_size=8", "--data.epoch_length=64", "--trainer.max_epochs=3")
    channels = "--model.init_args.network.init_args.channels=[4,8]"
    assert main(fit_words(folder, *more, channels)) == 0
    return folder


@pytest.fixture(scope="module")
def calibrated(run: Path) -> Path:
    assert main(["test", "-c", str(run / "config.yaml")]) == 0
    shutil.copytree(run / "test", run.parent / "uncalibrated")
    shutil.copy(run / "results.csv", run.parent / "uncalibrated")
    assert main(["calibrate", str(run), "--method", "VectorScaling"]) == 0
    assert main(["test", "-c", str(run / "config.yaml")]) == 0
    return run


def test_a_test_says_what_was_before_and_after(calibrated: Path):
    before, after = results(calibrated.parent / "uncalibrated"), results(calibrated)
    for name in FIGURES:
        assert after[f"{name}_uncalibrated"] == pytest.approx(before[name])
        assert f"{name}_uncalibrated" not in before
    assert after["nll"] < before["nll"]
    table = {r["metric"]: r for r in rows_of(calibrated / "test" / "calibration.csv") if not r["class"]}
    for name in FIGURES:
        assert float(table[name]["before"]) == pytest.approx(before[name])
        assert float(table[name]["after"]) == pytest.approx(after[name])
        assert float(table[name]["after_low"]) <= float(table[name]["after_high"])
    summary = json.loads((calibrated / "test" / "summary.json").read_text())
    assert summary["calibration"]["method"] == "VectorScaling"
    assert summary["calibration"]["fitted_on"]["split"] == "calibration"
    assert summary["calibration"]["fitted_on"]["cases"] == 73


def test_without_a_calibrator_there_is_only_a_before(calibrated: Path):
    folder = calibrated.parent / "uncalibrated"
    assert {r["after"] for r in rows_of(folder / "calibration.csv")} == {""}
    assert not (folder / "reliability_before.csv").exists()
    assert json.loads((folder / "summary.json").read_text())["calibration"] is None
    kept = (folder / "reliability.csv").read_bytes()
    assert (calibrated / "test" / "reliability_before.csv").read_bytes() == kept


def test_the_report_shows_both(calibrated: Path, tmp_path: Path):
    assert main(["report", str(calibrated), "--out", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Before and after calibration" in page
    assert ">VectorScaling</td>" in page
    assert "before calibration: 0." in page  # what the curves say to those who cannot see them
    assert "As the fit of the calibration found it" in page and "fitted on 73 cases" in page


def test_predictions_are_calibrated_unless_asked_not_to(calibrated: Path, tmp_path: Path):
    image = tmp_path / "image.nii.gz"
    nib.save(
        nib.Nifti1Image(np.random.default_rng(0).normal(-600, 300, (32, 32, 1)).astype(np.float32), np.eye(4)), image
    )
    found = {}
    for choice in ("stored", "none"):
        words = ["predict", str(calibrated), str(image), "--out", str(tmp_path / choice), "--calibration", choice]
        assert main(words) == 0
        summary = json.loads((tmp_path / choice / "image" / "summary.json").read_text())
        found[choice] = nib.load(tmp_path / choice / "image" / "probability.nii.gz").get_fdata()
        said = summary["settings"]["calibration"]
        assert (said or {}).get("method") == {"stored": "VectorScaling", "none": None}[choice]
        assert choice == "none" or {"figures", "reliability"} <= set(said["fitted_on"])  # for the report
        assert "command" not in (said or {}).get("fitted_on", {})  # it has paths
    assert np.abs(found["stored"] - found["none"]).max() > 0.01
    np.testing.assert_allclose(found["stored"].sum(axis=-1), 1, atol=2e-3)


def test_a_test_may_leave_it_out(calibrated: Path, tmp_path: Path):
    copy = tmp_path / "run"
    shutil.copytree(calibrated, copy)
    assert main(["test", "-c", str(copy / "config.yaml"), "--calibration=none"]) == 0
    assert results(copy)["nll"] == pytest.approx(results(calibrated.parent / "uncalibrated")["nll"])
    assert not (copy / "test" / "reliability_before.csv").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--split", "test", "--overwrite"], "E_CALIBRATION_SPLIT"),
        (["--split", "train", "--overwrite"], "E_CALIBRATION_SPLIT"),
        ([], "E_OUTPUT_EXISTS"),
        (["--method", "Nothing", "--overwrite"], "E_SCHEMA"),
        (["--set", "width", "--overwrite"], "E_USAGE"),
        (["--draws", "0", "--overwrite"], "E_USAGE"),
    ],
)
def test_what_is_refused(words: list[str], code: str, calibrated: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["calibrate", str(calibrated), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {code}: ")
    assert error.count("\n") == 1


def test_other_weights_refuse_the_calibrator(calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    copy = tmp_path / "run"
    shutil.copytree(calibrated, copy)
    shutil.copy(copy / "checkpoints" / "last.ckpt", copy / "checkpoints" / "best.ckpt")
    assert main(["test", "-c", str(copy / "config.yaml")]) == 2
    assert "E_STALE_CALIBRATION" in capsys.readouterr().err


def test_fit_takes_no_calibration(fit_words: Callable[..., list[str]], tmp_path: Path, capsys):
    assert main(fit_words(tmp_path / "run", "--calibration=none")) == 2
    assert "E_SCHEMA: --calibration is for validate, test and predict" in capsys.readouterr().err


@pytest.fixture(scope="module")
def named(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of slices of volumes whose three raters have names, with all splits."""
    folder = tmp_path_factory.mktemp("named")
    cases = generate(8, 0, DEFAULT_SITES[:2], default_raters(3), (4, 32, 32))
    data = write(cases, folder / "ct", 0, shares=(0.25, 0.25, 0.25, 0.25))
    experiments = repository / "experiments"
    words = ["fit", "-c", str(experiments / "trainer.yaml"), "-c", str(experiments / "synthetic/deterministic.yaml")]
    words += [f"--data.root={data}", "--data.slices=true", "--data.batch_size=4", "--data.epoch_length=4"]
    words += ["--trainer.max_epochs=1", "--trainer.limit_val_batches=1", "--trainer.precision=32"]
    words += ["--trainer.callbacks=[]", "--trainer.log_every_n_steps=1", f"--out={folder / 'run'}"]
    assert main([*words, "--model.init_args.network.init_args.channels=[4,8]"]) == 0
    return folder


def test_classes_raters_and_sites_have_their_figures(named: Path):
    run = named / "run"
    assert main(["calibrate", str(run), "--split", "validation"]) == 0
    assert main(["test", "-c", str(run / "config.yaml")]) == 0
    rows = rows_of(run / "test" / "calibration.csv")
    assert {r["rater"] for r in rows} == {"", "rater-1", "rater-2", "rater-3"}
    assert len({r["class"] for r in rows}) > 3
    assert {r["metric"] for r in rows if r["rater"]} == {"ece", "brier", "nll"}
    assert all(r["after"] for r in rows if r["rater"])
    sites = {r["site"] for r in rows} - {""}
    assert sites == {r["site"] for r in rows_of(run / "results.csv") if r.get("site")}


def test_cases_of_the_test_and_data_without_a_split(named: Path, capsys: pytest.CaptureFixture[str]):
    run = str(named / "run")
    table = (named / "ct" / "cases.csv").read_text(encoding="utf-8")
    for name, old, new, code in (
        ("without", ",calibration", ",train", "E_NO_CALIBRATION_CASES"),
        ("leak", ",test", ",calibration", "E_SPLIT_LEAK"),
    ):
        copy = named / name
        shutil.copytree(named / "ct", copy, ignore=shutil.ignore_patterns(".store"))
        assert old in table
        (copy / "cases.csv").write_text(table.replace(old, new), encoding="utf-8")
        capsys.readouterr()
        assert main(["calibrate", run, "--data", str(copy), "--overwrite"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {code}: ")
        assert "probseg split" in error
