"""What dcmqi, with which 3D Slicer opens them, makes of the objects (Herz 2017, 10.1158/0008-5472.CAN-17-0336)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from probseg.io import nifti
from probseg.io.placement import locate

pytestmark = pytest.mark.oracle


def dcmqi(tool: str, *words: object) -> None:
    pytest.importorskip("dcmqi")
    command = [str(Path(sys.executable).parent / tool), *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def read(path, made):
    """An image that dcmqi wrote, on the canonical grid."""
    block, stored = nifti.read(path)
    place = locate(stored.affine, stored.shape, made.geometry, path)
    found = np.zeros(made.geometry.shape, block.dtype)
    found[place.target] = place.turn(block)
    return found


@pytest.mark.parametrize("name", ["segmentation", "label_map"])
def test_masks(made, tmp_path, name):
    words = ("--inputDICOM", made.files[name], "--outputDirectory", tmp_path, "--prefix", "s", "--outputType", "nifti")
    dcmqi("segimage2itkimage", *words)
    if name == "label_map":
        assert_array_equal(read(tmp_path / "s-1.nii.gz", made), made.mode)
        return
    for number in (1, 2):
        assert_array_equal(read(tmp_path / f"s-{number}.nii.gz", made) > 0, made.mode == number)


def test_probabilities(made, tmp_path):
    words = ("--inputDICOM", made.files["probability"], "--outputDirectory", tmp_path, "--prefix", "p")
    dcmqi("segimage2itkimage", *words, "--outputType", "nifti")
    for k, probability in enumerate(made.probability, start=1):
        assert_allclose(read(tmp_path / f"p-{k}.nii.gz", made) / 255, probability, atol=0.5 / 255 + 1e-7)


def test_maps(made, tmp_path):
    words = ("--inputDICOM", made.files["uncertainty"], "--outputDirectory", tmp_path, "--prefix", "u")
    dcmqi("paramap2itkimage", *words, "--outputType", "nifti")
    assert_array_equal(read(tmp_path / "u-pmap.nii.gz", made), made.entropy)
    said = json.loads((tmp_path / "u-meta.json").read_text())
    assert said["MeasurementUnitsCode"]["CodeMeaning"] == "nats" and said["QuantityValueCode"]["CodeValue"] == "entropy"


def test_report(plain, tmp_path):
    dcmqi("tid1500reader", "--inputDICOM", plain.files["report"], "--outputMetadata", tmp_path / "report.json")
    found = json.loads((tmp_path / "report.json").read_text())["Measurements"]
    values = {m["TrackingIdentifier"]: [i["value"] for i in m["measurementItems"]] for m in found}
    assert values["lung"] == ["4321.125", "4000.0", "4500.5", "4300.0"]
    assert values["opacity"] == ["12.5", "3.0", "11.0"]
