from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

# jsonargparse 4.49 renamed a method that Lightning, and for older versions' sake probseg, still calls by its old name.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
import yaml

from probseg.cli import main
from probseg.data.synthetic import INFO, LABELS, generate, write
from probseg.io.digest import file_sha256
from probseg.manifest import open_dataset
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model
from probseg.records import DatasetInfo

pytestmark = pytest.mark.journey

SCAN_FILES = {
    "mode.nii.gz",
    "probability.nii.gz",
    "entropy.nii.gz",
    "epistemic.nii.gz",
    "ambiguity.nii.gz",
    "noise.nii.gz",
    "preview.png",
    "summary.json",
}


def save_run(folder: Path, info: DatasetInfo = INFO, family: str = "ProbabilisticUNet", dimensions: int = 2) -> Path:
    """A run folder as ``probseg fit`` leaves it, of a model that was not trained but is not blind either."""
    torch.manual_seed(2)
    classes = info.labels.num_classes
    unet = {"num_classes": classes, "channels": [4, 8], "dimensions": dimensions, "foreground": 0.85}
    network = {"class_path": "probseg.networks.UNet", "init_args": unet}
    arguments: dict[str, Any] = {"network": network, "draws": 4}
    if family == "ProbabilisticUNet":
        arguments |= {"encoder_channels": [4], "hidden": 4}
    model = build_model({"class_path": f"probseg.models.{family}", "init_args": arguments})
    model.bind(info)
    with torch.no_grad():
        for layer in model.network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(2.0)
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(
        {"state_dict": model.state_dict(), "probseg": describe(model.info, model.config)},
        folder / "checkpoints" / "best.ckpt",
    )
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic patients as DICOM series with their raters' masks."""
    cases = generate(2, seed=4, shape=(4, 32, 40))
    return write(cases, tmp_path_factory.mktemp("synthetic") / "ct", seed=0, shares=(0, 0, 0, 1), with_truth=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("runs") / "probabilistic_unet")


def series(dataset: Path) -> list[Path]:
    return sorted((dataset / "images").iterdir())


def dicom_affine(folder: Path) -> np.ndarray:
    """What dcm2niix would give to nibabel: (column, row, slice) to RAS mm, from the headers alone."""
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in folder.iterdir()]
    headers.sort(key=lambda h: float(h.ImagePositionPatient[2]))
    cosines = np.array(headers[0].ImageOrientationPatient, dtype=float)
    first, last = (np.array(headers[k].ImagePositionPatient, dtype=float) for k in (0, -1))
    affine = np.eye(4)
    affine[:3, 0] = cosines[:3] * float(headers[0].PixelSpacing[1])
    affine[:3, 1] = cosines[3:] * float(headers[0].PixelSpacing[0])
    affine[:3, 2] = (last - first) / (len(headers) - 1)
    affine[:3, 3] = first
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def load(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_dicom_folder_through_every_file_and_back(
    run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, out = series(dataset)[0], tmp_path / "out"
    assert main(["predict", str(run), str(scan), "--out", str(out), "--draws", "5", "--readings", "2"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.splitlines()[-1].startswith("next: ")
    folder = out / scan.name
    assert {p.name for p in out.iterdir()} == {scan.name, "volumes.csv", "manifest.json"}
    assert {p.name for p in folder.iterdir()} == SCAN_FILES | {"readings.nii.gz"}
    affine = dicom_affine(scan)
    for path in folder.glob("*.nii.gz"):
        np.testing.assert_allclose(nib.load(path).affine, affine, atol=1e-4)
    maps = {p.name.removesuffix(".nii.gz"): load(p) for p in folder.glob("*.nii.gz")}
    assert all(maps[n].shape == (40, 32, 4) for n in ("mode", "entropy", "epistemic", "ambiguity", "noise"))
    assert maps["probability"].shape == (40, 32, 4, 9) and maps["readings"].shape == (40, 32, 4, 2)
    assert all(maps[n].dtype == np.float32 for n in ("probability", "entropy", "epistemic", "ambiguity", "noise"))
    np.testing.assert_allclose(maps["probability"].sum(axis=3), 1, atol=1e-5)
    parts = maps["epistemic"] + maps["ambiguity"] + maps["noise"]
    np.testing.assert_allclose(maps["entropy"], parts, atol=1e-5)
    assert maps["ambiguity"].max() > 1e-4
    values = np.array([c.value for c in LABELS.classes])
    assert (maps["mode"] == values[maps["probability"].argmax(axis=3)]).all() and maps["mode"].max() > 2
    assert set(np.unique(maps["readings"])) <= set(values.tolist())
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    rows = {r["class"]: r for r in table(out / "volumes.csv")}
    assert list(rows) == list(LABELS.structures)
    for c in LABELS.classes[1:]:
        row = rows[c.name]
        np.testing.assert_allclose(float(row["mode_ml"]), (maps["mode"] == c.value).sum() * voxel_ml, rtol=1e-5)
        expected = maps["probability"][..., LABELS.names.index(c.name)].sum(dtype=float) * voxel_ml
        np.testing.assert_allclose(float(row["mean_ml"]), expected, rtol=1e-4)
        ends = [float(row[f"{end}_ml"]) for end in ("low_95", "low_80", "low_50", "high_50", "high_80", "high_95")]
        assert ends == sorted(ends)
        assert (row["case_id"], row["draws"]) == (scan.name, "5")
    assert (folder / "preview.png").read_bytes().startswith(b"\x89PNG")


def test_summary_and_manifest_say_what_was_done(run: Path, dataset: Path, tmp_path: Path) -> None:
    scan, out = series(dataset)[0], tmp_path / "out"
    assert main(["predict", str(run), str(scan), "--out", str(out), "--seed", "7"]) == 0
    summary = json.loads((out / scan.name / "summary.json").read_text())
    manifest = json.loads((out / "manifest.json").read_text())
    checkpoint = file_sha256(run / "checkpoints" / "best.ckpt")
    assert summary["checkpoint_sha256"] == manifest["checkpoint_sha256"] == checkpoint
    assert summary["settings"]["draws"] == summary["draws"] == 4  # what the model was validated with
    assert summary["settings"]["seed"] == 7 and summary["shape"] == [4, 32, 40]
    assert [v["class"] for v in summary["volumes"]] == list(LABELS.structures)
    by_class = {v["class"]: v for v in summary["volumes"]}
    opacity, parts = by_class["opacity"], [by_class[n] for n in LABELS.groups[0].classes]
    assert len(opacity["draws_ml"]) == 4 and set(opacity["intervals_ml"]) == {"50", "80", "95"}
    np.testing.assert_allclose(opacity["draws_ml"], np.sum([p["draws_ml"] for p in parts], axis=0), atol=1e-5)
    (entry,) = manifest["scans"]
    assert entry["input_sha256"] == summary["input_sha256"] and set(entry["files"]) == SCAN_FILES
    assert all(file_sha256(out / scan.name / n) == digest for n, digest in entry["files"].items())
    assert manifest["files"]["volumes.csv"] == file_sha256(out / "volumes.csv") and manifest["failed"] == []
    assert str(tmp_path) not in (out / "manifest.json").read_text() + json.dumps(summary)


def test_the_same_command_gives_the_same_bytes(run: Path, dataset: Path, tmp_path: Path) -> None:
    scan = series(dataset)[0]
    for name in ("a", "b"):
        assert main(["predict", str(run / "checkpoints" / "best.ckpt"), str(scan), "--out", str(tmp_path / name)]) == 0
    read = [json.loads((tmp_path / n / "manifest.json").read_text()) for n in ("a", "b")]
    assert read[0] == read[1]


@pytest.mark.parametrize("turn", ["LPI", "SRP"])
def test_a_nifti_keeps_its_own_orientation(run: Path, dataset: Path, tmp_path: Path, turn: str) -> None:
    first = tmp_path / "first"
    scan = series(dataset)[0]
    assert main(["predict", str(run), str(scan), "--out", str(first)]) == 0
    # the scan again as NIfTI, its axes swapped and flipped
    stored = np.stack([pydicom.dcmread(p).pixel_array for p in sorted(scan.iterdir())]).astype(np.int16) - 1024
    image = nib.Nifti1Image(stored.transpose(2, 1, 0), dicom_affine(scan))
    goal = nib.orientations.axcodes2ornt(turn)
    change = nib.orientations.ornt_transform(nib.io_orientation(image.affine), goal)
    turned = image.as_reoriented(change)
    nib.save(turned, tmp_path / "Chest of (someone).NII.gz")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(tmp_path / "Chest of (someone).NII.gz"), "--out", str(out)]) == 0
    folder = out / "Chest_of_someone_"
    for name in ("entropy", "mode", "probability"):
        written = nib.load(folder / f"{name}.nii.gz")
        np.testing.assert_allclose(written.affine, turned.affine, atol=1e-4)
        assert written.shape[:3] == turned.shape
        was = nib.load(first / scan.name / f"{name}.nii.gz").as_reoriented(change)
        np.testing.assert_allclose(np.asanyarray(written.dataobj), np.asanyarray(was.dataobj), atol=1e-6)
    summaries = [json.loads((f / "summary.json").read_text()) for f in (folder, first / scan.name)]
    assert summaries[0]["input_sha256"] == summaries[1]["input_sha256"]  # the same voxels, however they are stored


def test_a_dataset_gives_a_folder_a_case(run: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(run), str(dataset), "--split", "test", "--out", str(out)]) == 0
    names = [p.name for p in series(dataset)]
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == names
    assert {r["case_id"] for r in table(out / "volumes.csv")} == set(names)


def test_a_site_of_a_dataset(run: Path, dataset: Path, tmp_path: Path) -> None:
    opened = open_dataset(dataset)
    site = opened.records[0].site
    assert main(["predict", str(run), str(dataset), "--site", site, "--out", str(tmp_path / "out")]) == 0
    done = {r["case_id"] for r in table(tmp_path / "out" / "volumes.csv")}
    assert done == {r.case_id for r in opened.records if r.site == site}


def test_masks_are_neither_needed_nor_read(run: Path, dataset: Path, tmp_path: Path) -> None:
    blind = tmp_path / "blind"
    shutil.copytree(dataset, blind, ignore=shutil.ignore_patterns("masks"))
    assert main(["predict", str(run), str(blind), "--out", str(tmp_path / "out")]) == 0


def test_single_images_of_a_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    stack = tmp_path / "images.npz"
    image = rng.random((3, 16, 20), dtype=np.float32)
    np.savez(stack, image=image, masks=np.zeros((3, 2, 16, 20), np.uint8))
    run = save_run(tmp_path / "run", open_dataset(stack).info)
    assert main(["predict", str(run), str(stack), "--out", str(tmp_path / "out")]) == 0
    assert "warning: W_NO_SPACING" in capsys.readouterr().err
    written = nib.load(tmp_path / "out" / "case-00001" / "entropy.nii.gz")
    assert written.shape == (20, 16, 1) and written.header.get_zooms() == (1.0, 1.0, 1.0)
    assert {r["mode_ml"] for r in table(tmp_path / "out" / "volumes.csv")} == {""}


def test_a_bad_scan_is_one_line_and_the_rest_go_on(
    run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad.nii.gz", series(dataset)[0]
    bad.write_bytes(b"\x1f\x8bnothing")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(bad), str(good), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: E_") and "bad.nii.gz" in line
    assert sorted(p.name for p in out.iterdir()) == sorted([good.name, "manifest.json", "volumes.csv"])
    failed = json.loads((out / "manifest.json").read_text())["failed"]
    assert [f["case_id"] for f in failed] == ["bad"]
    # alone, nothing at all is written
    assert main(["predict", str(run), str(bad), "--out", str(tmp_path / "nothing")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "nothing").exists()


def test_equal_names_get_folders_of_their_own(run: Path, dataset: Path, tmp_path: Path) -> None:
    for patient in ("a", "b"):
        shutil.copytree(series(dataset)[0], tmp_path / patient / "CT")
    inputs = [str(tmp_path / p / "CT") for p in ("a", "b")]
    assert main(["predict", str(run), *inputs, "--out", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir()) == ["CT", "CT-2"]


def test_overwriting_is_asked_for_and_leaves_nothing_stale(
    run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = series(dataset)
    out = tmp_path / "out"
    command = ["predict", str(run), str(first), "--out", str(out)]
    assert main([*command, "--readings", "2"]) == 0
    (out / first.name / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("error: E_OUTPUT_EXISTS: ")
    assert main(["predict", str(run), str(second), "--out", str(out), "--overwrite"]) == 0
    assert [p.name for p in (out / first.name).iterdir()] == ["notes.txt"]  # what is not ours stays
    assert {p.name for p in (out / second.name).iterdir()} == SCAN_FILES


def test_a_planted_link_is_not_followed(
    run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, out = series(dataset)[0], tmp_path / "out"
    (tmp_path / "elsewhere").mkdir()
    out.mkdir()
    (out / scan.name).symlink_to(tmp_path / "elsewhere")
    assert main(["predict", str(run), str(scan), "--out", str(out), "--overwrite"]) == 2
    assert "E_OUTPUT_EXISTS" in capsys.readouterr().err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_network_of_three_dimensions_takes_windows(dataset: Path, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", dimensions=3)
    scan = series(dataset)[0]
    window = ["--window", "4", "16", "16", "--overlap", "0.5"]
    assert main(["predict", str(run), str(scan), "--out", str(tmp_path / "out"), *window]) == 0
    settings = json.loads((tmp_path / "out" / scan.name / "summary.json").read_text())["settings"]
    assert (settings["window"], settings["overlap"]) == ([4, 16, 16], 0.5)
    np.testing.assert_allclose(load(tmp_path / "out" / scan.name / "probability.nii.gz").sum(axis=3), 1, atol=1e-5)


def test_draws_that_a_family_does_not_take_are_said(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, scan = save_run(tmp_path / "run", family="Deterministic"), str(series(dataset)[0])
    assert main(["predict", str(run), scan, "--out", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().err == ""
    assert main(["predict", str(run), scan, "--out", str(tmp_path / "b"), "--draws", "9"]) == 0
    assert "warning: W_DRAWS" in capsys.readouterr().err
    assert {r["low_95_ml"] for r in table(tmp_path / "a" / "volumes.csv")} == {""}  # one draw has no interval
    assert main(["predict", str(run), scan, "--out", str(tmp_path / "c"), "--readings", "2"]) == 2
    assert "E_ARGUMENT" in capsys.readouterr().err and not (tmp_path / "c").exists()


def test_the_lightning_form_writes_the_same(run: Path, dataset: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    assert main(["predict", str(run), str(dataset), "--split", "test", "--out", str(plain)]) == 0
    copied = save_run(tmp_path / "run")
    stored = torch.load(copied / "checkpoints" / "best.ckpt", weights_only=True)["probseg"]["config"]
    config = {
        "model": stored,
        "data": {"root": str(dataset), "slices": True},
        "trainer": {"precision": "bf16-mixed"},
        "out": str(copied),
    }
    (copied / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["predict", "-c", str(copied / "config.yaml")]) == 0
    for path in plain.rglob("*.nii.gz"):
        assert path.read_bytes() == (copied / "predictions" / path.relative_to(plain)).read_bytes()
    assert (plain / "volumes.csv").read_bytes() == (copied / "predictions" / "volumes.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["{run}", "{tmp}/nope.nii.gz"], "E_FILE_MISSING"),
        (["{tmp}/nope", "{scan}"], "E_FILE_MISSING"),
        (["{tmp}", "{scan}"], "E_FILE_MISSING"),
        (["{foreign}", "{scan}"], "E_CORRUPT_CHECKPOINT"),
        (["{run}", "{scan}", "--format", "nrrd"], "E_USAGE"),
        (["{run}", "{scan}", "--format", "dicom", "--readings", "2"], "E_USAGE"),
        (["{run}", "{scan}", "--promises", "{tmp}/nope"], "E_FILE_MISSING"),
        (["{run}", "{scan}", "--split", "test"], "E_USAGE"),
        (["{run}", "{dataset}", "--series", "x"], "E_USAGE"),
        (["{run}", "{dataset}", "--split", "train"], "E_NO_CASES"),
        (["{run}", "{scan}", "--site", "north"], "E_USAGE"),
        (["{run}", "{dataset}", "--site", "nowhere"], "E_UNKNOWN_SITE"),
        (["{run}", "lidc-sample"], "E_NDIM"),
        (["{run}", "{scan}", "--draws", "0"], "E_USAGE"),
        (["{run}", "{scan}", "--batch-size", "0"], "E_USAGE"),
        (["{run}", "{scan}", "--readings", "-1"], "E_USAGE"),
        (["{run}", "{scan}", "--window", "4", "16", "16"], "E_USAGE"),
        (["{run}", "{scan}", "--overlap", "1"], "E_USAGE"),
        (["{run}", "{scan}", "--overlap", "0.5"], "E_USAGE"),
        (["{run}", "{scan}", "--precision", "16"], "E_USAGE"),
        (["{run}"], "E_USAGE"),
    ],
)
def test_faults_are_one_line_and_write_nothing(
    arguments: list[str], code: str, run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"weight": torch.zeros(2)}, foreign)
    names = {"run": run, "scan": series(dataset)[0], "dataset": dataset, "tmp": tmp_path, "foreign": foreign}
    out = tmp_path / "out"
    assert main(["predict", *(a.format(**names) for a in arguments), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {code}: ")
    assert not out.exists()
