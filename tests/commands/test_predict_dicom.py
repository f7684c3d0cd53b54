"""``probseg predict --format dicom``: a synthetic CT through every object and back, and no patient anywhere else."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from highdicom.sr import srread

from probseg.cli import main
from probseg.data.synthetic import INFO, LABELS, generate, write
from probseg.io import read_image
from probseg.io.placement import locate
from probseg.io.segmentations import label_map, read_segments
from probseg.io.volumes import read_map, read_mask

_spec = importlib.util.spec_from_file_location("predict_journeys", Path(__file__).parent / "test_predict.py")
assert _spec is not None and _spec.loader is not None
_journeys = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_journeys)
save_run = _journeys.save_run

pytestmark = pytest.mark.journey

MAPS = {
    "uncertainty.dcm": "entropy",
    "uncertainty_epistemic.dcm": "epistemic",
    "uncertainty_ambiguity.dcm": "ambiguity",
    "uncertainty_noise.dcm": "noise",
}
OBJECTS = {"segmentation.dcm", "segmentation_labelmap.dcm", "probability.dcm", "report.dcm", *MAPS}
CANARIES = (b"canary", b"ottilie", b"19121212")  # long enough for no compressed picture to hold one by chance


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic patients whose headers name somebody."""
    cases = generate(2, seed=4, shape=(4, 33, 39))  # frames of single bits do not start at bytes
    root = write(cases, tmp_path_factory.mktemp("synthetic") / "ct", seed=0, shares=(0, 0, 0, 1), with_truth=False)
    for path in root.glob("images/*/*.dcm"):
        data = pydicom.dcmread(path)
        data.PatientName, data.PatientID, data.PatientBirthDate = "Canary^Ottilie", "CANARY-4711", "19121212"
        data.StudyDescription, data.InstitutionName = "canary study", "canary hospital"
        data.save_as(path)
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("runs") / "probabilistic_unet")


def scans(dataset: Path) -> list[Path]:
    return sorted((dataset / "images").iterdir())


@pytest.fixture(scope="module")
def predicted(run: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the first scan, in both formats."""
    out = tmp_path_factory.mktemp("predicted") / "out"
    command = ["predict", str(run), str(scans(dataset)[0]), "--out", str(out), "--draws", "5"]
    assert main([*command, "--format", "nifti", "dicom"]) == 0
    return out / scans(dataset)[0].name


@pytest.fixture(scope="module")
def geometry(dataset: Path) -> Any:
    return read_image(scans(dataset)[0])[1]


def test_every_object_is_there_and_in_the_manifest(predicted: Path) -> None:
    names = {p.name for p in predicted.glob("*.dcm")}
    assert names == OBJECTS
    manifest = json.loads((predicted.parent / "manifest.json").read_text())
    assert names < set(manifest["scans"][0]["files"]) and manifest["settings"]["formats"] == ["nifti", "dicom"]


@pytest.mark.parametrize("name", sorted(OBJECTS - {"segmentation_labelmap.dcm"}))
def test_dciodvfy_finds_no_error(predicted: Path, dciodvfy: Any, name: str) -> None:
    assert dciodvfy(predicted / name) == []


@pytest.mark.parametrize("name", ["segmentation.dcm", "segmentation_labelmap.dcm"])
def test_masks_are_those_of_the_nifti_file(predicted: Path, geometry: Any, name: str) -> None:
    values = {c.name: c.value for c in LABELS.classes[1:]}
    segments = read_segments(predicted / name, geometry)
    assert [s.name for s in segments] == list(LABELS.names[1:])
    mode = read_mask(predicted / "mode.nii.gz", geometry, "mode")
    np.testing.assert_array_equal(label_map(segments, values, "mode"), mode)
    assert len(np.unique(mode)) > 2


def test_probabilities_and_maps_are_those_of_the_nifti_files(predicted: Path, geometry: Any) -> None:
    def on_the_grid(volume: Any) -> np.ndarray:
        found = np.zeros(geometry.shape)
        place = locate(volume.affine, volume.array.shape[:3], geometry, predicted)
        found[place.target] = place.turn(volume.array)
        return found

    image = hd.seg.segread(predicted / "probability.dcm")
    probability = read_map(predicted / "probability.nii.gz", geometry, "probability")
    for k in range(1, LABELS.num_classes):
        volume = image.get_volume(segment_numbers=[k], skip_overlap_checks=True).squeeze_channel()
        np.testing.assert_allclose(on_the_grid(volume), probability[k], atol=0.5 / 255 + 1e-6)
    for name, kind in MAPS.items():
        stored = hd.pm.ParametricMap.from_file(predicted / name)
        (mapping,) = stored.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        assert (mapping.LUTLabel, mapping.MeasurementUnitsCodeSequence[0].CodeMeaning) == (kind, "nats")
        expected = read_map(predicted / f"{kind}.nii.gz", geometry, kind)
        np.testing.assert_array_equal(on_the_grid(stored.get_volume()), expected)


def test_the_report_says_what_the_summary_says(predicted: Path) -> None:
    summary = {v["class"]: v for v in json.loads((predicted / "summary.json").read_text())["volumes"]}
    report = srread(predicted / "report.dcm")
    segmentation = pydicom.dcmread(predicted / "segmentation.dcm", stop_before_pixels=True)
    groups = [
        *report.content.get_volumetric_roi_measurement_groups(),
        *report.content.get_image_measurement_groups(),
    ]
    assert [g.tracking_identifier for g in groups] == list(LABELS.structures)
    for group in groups:
        volume = summary[group.tracking_identifier]
        found = [(m.name.meaning, m.value, m.unit.value) for m in group.get_measurements()]
        low, high = volume["intervals_ml"]["95"]
        wanted = [volume["mean_ml"], low, high, volume["mode_ml"]]
        names = ["Volume", "Lower end of the 95 % interval", "Upper end of the 95 % interval", "Volume"]
        assert [(name, unit) for name, _, unit in found] == [(name, "mL") for name in names]
        np.testing.assert_allclose([value for _, value, _ in found], wanted, atol=1e-6)
    number = LABELS.names.index("pure_consolidation")
    segment = groups[number - 1].referenced_segment
    assert segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID
    assert segment.referenced_segment_numbers == [number]


def test_objects_belong_to_the_patient_and_study_of_the_scan(predicted: Path, dataset: Path) -> None:
    head = pydicom.dcmread(next(scans(dataset)[0].iterdir()), stop_before_pixels=True)
    seen = set()
    for name in OBJECTS:
        data = pydicom.dcmread(predicted / name)
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
            assert data.get(keyword) == head.get(keyword), (name, keyword)
        assert "InstitutionName" not in data  # of the hospital that made the images, not the objects
        seen.add((data.SeriesInstanceUID, data.SeriesNumber, data.SeriesDescription))
        assert data.SOPInstanceUID.startswith("2.25.") and data.Manufacturer == "probseg"
        checkpoint = json.loads((predicted / "summary.json").read_text())["checkpoint_sha256"]
        assert checkpoint[:40] in data.SoftwareVersions[1]
        assert (predicted / name).read_bytes()[:128] == b"\0" * 128
    assert len(seen) == len(OBJECTS) and len({uid for uid, _, _ in seen}) == len({n for _, n, _ in seen}) == len(seen)


def test_segments_carry_codes_and_colours(predicted: Path) -> None:
    segments = pydicom.dcmread(predicted / "segmentation.dcm").SegmentSequence
    kinds = {s.SegmentLabel: s.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for s in segments}
    categories = {s.SegmentLabel: s.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning for s in segments}
    assert (kinds["right_lung"], categories["right_lung"]) == ("Right lung", "Anatomical Structure")
    assert (kinds["atoll_sign"], categories["atoll_sign"]) == ("Lesion", "Morphologically Abnormal Structure")
    assert kinds["pure_ground_glass"] == "Ground glass opacity"
    colour = hd.color.CIELabColor.from_dicom_value(segments[2].RecommendedDisplayCIELabValue).to_rgb()
    np.testing.assert_allclose(colour, (0x56, 0xB4, 0xE9), atol=1)
    assert len({s.TrackingUID for s in segments}) == len(segments)


def test_no_patient_leaves_but_in_dicom_objects(
    run: Path, dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(scans(dataset)[0], tmp_path / "scan")
    data = pydicom.dcmread(tmp_path / "scan" / "0000.dcm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # what remarks would quote: values of another kind, and one that is too long for its own
        data.PatientSex, data.StudyTime, data.StudyID = "canary", "canary", "canary-canary-canary"
        data.save_as(tmp_path / "scan" / "0000.dcm")
    out = tmp_path / "out"
    capfd.readouterr()
    assert main(["predict", str(run), str(tmp_path / "scan"), "--out", str(out), "--format", "both"]) == 0
    said = "".join(capfd.readouterr()).lower().encode()
    seen = 0
    for path in (p for p in out.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        content = (gzip.decompress(raw) if path.suffix == ".gz" else raw).lower()
        found = any(canary in content for canary in CANARIES)
        assert found == (path.suffix == ".dcm"), path.name
        said += str(path.relative_to(tmp_path)).lower().encode()
        seen += 1
    assert seen == 8 + len(OBJECTS) + 2 and not any(canary in said for canary in CANARIES)


def test_the_same_command_gives_the_same_objects(run: Path, dataset: Path, predicted: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    command = ["predict", str(run), str(scans(dataset)[0]), "--out", str(out), "--draws", "5", "--format"]
    assert main([*command, "both"]) == 0
    for name in OBJECTS:
        assert (out / predicted.name / name).read_bytes() == (predicted / name).read_bytes()
    (out / predicted.name / "report.dcm").write_bytes(b"half")  # killed at the wrong moment
    assert main([*command, "both"]) == 0
    assert (out / predicted.name / "report.dcm").read_bytes() == (predicted / "report.dcm").read_bytes()
    other = tmp_path / "other"
    assert main([*command[:4], str(other), "--draws", "4", "--format", "dicom"]) == 0
    uids = [pydicom.dcmread(f / "report.dcm").SOPInstanceUID for f in (predicted, other / predicted.name)]
    assert uids[0] != uids[1]  # of other draws
    assert not list(other.rglob("*.nii.gz"))


def test_a_scan_of_no_patient_is_refused_and_the_rest_go_on(
    run: Path, dataset: Path, predicted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = nib.load(predicted / "entropy.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), tmp_path / "plain.nii.gz")
    inputs = [str(tmp_path / "plain.nii.gz"), str(scans(dataset)[0])]
    assert main(["predict", str(run), *inputs, "--out", str(tmp_path / "out"), "--format", "dicom"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: E_NO_DICOM: ") and "--format nifti" in line
    assert (tmp_path / "out" / predicted.name / "report.dcm").is_file()


def test_a_single_slice_of_a_model_of_slices(dataset: Path, tmp_path: Path, dciodvfy: Any) -> None:
    run = save_run(tmp_path / "run", replace(INFO, dimensions=2))
    path = sorted(scans(dataset)[0].iterdir())[1]
    assert main(["predict", str(run), str(path), "--out", str(tmp_path / "out"), "--format", "both"]) == 0
    folder = tmp_path / "out" / "0001"
    mode = np.asanyarray(nib.load(folder / "mode.nii.gz").dataobj)[:, :, 0].T
    data = pydicom.dcmread(folder / "segmentation_labelmap.dcm")
    values = np.array([c.value for c in LABELS.classes])
    np.testing.assert_array_equal(values[data.pixel_array.reshape(mode.shape)], mode)
    for name in OBJECTS - {"segmentation_labelmap.dcm"}:
        assert dciodvfy(folder / name) == []


def test_predictions_without_nifti_cannot_be_evaluated_and_say_so(
    run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(run), str(dataset), "--out", str(tmp_path / "out"), "--format", "dicom"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "out"), str(dataset), "--out", str(tmp_path / "evaluation")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: E_FILE_MISSING: ") and "nifti" in line


def test_promises_of_an_evaluation_widen_the_intervals_of_new_scans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two calibration patients promise the half of raters something, and 95 % of them nothing."""
    run = save_run(tmp_path / "run")
    cases = generate(4, seed=4, shape=(4, 32, 40))
    data = str(write(cases, tmp_path / "ct", seed=0, shares=(0, 0, 0.5, 0.5), with_truth=False))
    assert main(["predict", str(run), data, "--out", str(tmp_path / "p"), "--draws", "6"]) == 0
    assert main(["evaluate", str(tmp_path / "p"), data, "--out", str(run / "evaluation")]) == 0
    scan = str(scans(tmp_path / "ct")[0])
    out = tmp_path / "new"
    command = ["predict", str(run), scan, "--out", str(out), "--draws", "6", "--format", "dicom"]
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    with (out / "volumes.csv").open(newline="") as file:
        rows = {r["class"]: r for r in csv.DictReader(file)}
    lung = rows["lung"]
    assert (lung["conformal_low_95_ml"], lung["conformal_high_95_ml"]) == ("0", "inf")
    low, high = float(lung["conformal_low_50_ml"]), float(lung["conformal_high_50_ml"])
    assert low <= float(lung["low_50_ml"]) and float(lung["high_50_ml"]) <= high < np.inf
    assert lung["percent_of_lung"] == "100" and 0 < float(rows["opacity"]["percent_of_lung"]) < 100
    folder = out / Path(scan).name
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["settings"]["promises"]["patients"] == 2
    groups = srread(folder / "report.dcm").content.get_image_measurement_groups()
    assert [g.tracking_identifier for g in groups] == [g.name for g in LABELS.groups]
    names = {m.name.meaning for group in groups for m in group.get_measurements()}
    assert "Lower end of the 95 % conformal interval" in names  # and no upper end, which is infinite
    assert "Upper end of the 95 % conformal interval" not in names
    assert main([*command[:4], str(tmp_path / "few"), "--draws", "3"]) == 0
    assert "warning: W_PROMISES" in capsys.readouterr().err
    named = ["--promises", str(run / "evaluation")]
    assert main([*command[:4], str(tmp_path / "named"), "--draws", "3", *named]) == 2
    assert "error: E_STALE_CALIBRATION" in capsys.readouterr().err
