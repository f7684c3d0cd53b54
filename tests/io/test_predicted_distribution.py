"""What ``probseg predict`` wrote, read back in the classes of the dataset that it is compared in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from probseg.case import Geometry
from probseg.errors import ProbsegError
from probseg.io import nifti
from probseg.io.predicted import open_predictions
from probseg.io.predicted_distribution import UNCERTAINTY_MAPS, read_distribution
from probseg.labels import LabelClass, LabelGroup, LabelSet

GRID = Geometry((2, 3, 4), (2.5, 0.5, 0.75))
NAMES = ("background", "glass", "solid")
LABELS = LabelSet(tuple(LabelClass(k, n) for k, n in enumerate(NAMES)), (LabelGroup("opacity", NAMES[1:]),))


def write(root: Path, names: tuple[str, ...] = NAMES, readings: int = 3, **summary: object) -> Path:
    """One case of a model of these classes, whose probabilities differ from class to class."""
    folder, rng = root / "a", np.random.default_rng(0)
    raw = rng.random((*GRID.shape, len(names))) + np.arange(len(names))
    mean = (raw / raw.sum(axis=-1, keepdims=True)).astype(np.float32)
    values = [NAMES.index(n) if n in NAMES else 7 for n in names]
    nifti.write(folder / "probability.nii.gz", mean, GRID)
    nifti.write(folder / "mode.nii.gz", np.full(GRID.shape, values[-1], np.uint8), GRID)
    for k, name in enumerate(UNCERTAINTY_MAPS):
        nifti.write(folder / f"{name}.nii.gz", np.full(GRID.shape, k / 8, np.float32), GRID)
    if readings:
        drawn = np.stack([np.full(GRID.shape, values[s % len(values)], np.uint8) for s in range(readings)], axis=-1)
        nifti.write(folder / "readings.nii.gz", drawn, GRID)
    volumes = [{"class": n, "draws_ml": [10.0 * v, 20.0 * v]} for n, v in zip(names[1:], values[1:], strict=True)]
    written = {
        "shape": list(GRID.shape),
        "classes": dict(zip(names, values, strict=True)),
        "draws": 2,
        "volumes": volumes,
        "uncertainty_nats": {"entropy": {"scan": 0.1, "foreground": None}},
    }
    (folder / "summary.json").write_text(json.dumps(written | summary))
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    (root / "manifest.json").write_text(json.dumps({"scans": [{"case_id": "a", "files": files}]}))
    return root


def read(root: Path, labels: LabelSet = LABELS, grid: Geometry = GRID):
    return read_distribution(open_predictions(root, labels)["a"], grid, labels)


def test_everything_comes_back_as_it_was_written(tmp_path):
    found = read(write(tmp_path))
    written, _ = nifti.read(tmp_path / "a" / "probability.nii.gz", channels=True)
    np.testing.assert_array_equal(found.mean, np.moveaxis(written, -1, 0))
    assert (found.mode == 2).all() and found.num_draws == 2
    assert open_predictions(tmp_path, LABELS)["a"].num_draws == 2
    assert found.readings[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert [float(found.maps[name].max()) for name in UNCERTAINTY_MAPS] == [0.0, 0.125, 0.25, 0.375]
    # glass, solid, and the group of both
    assert found.draws_ml.tolist() == [[10.0, 20.0, 30.0], [20.0, 40.0, 60.0]]


def test_classes_are_found_by_name_and_unknown_ones_have_nothing(tmp_path):
    found = read(write(tmp_path, ("background", "solid")))
    written, _ = nifti.read(tmp_path / "a" / "probability.nii.gz", channels=True)
    np.testing.assert_array_equal(found.mean[2], written[..., 1])
    assert not found.mean[1].any()
    assert found.draws_ml.tolist() == [[0.0, 20.0, 20.0], [0.0, 40.0, 40.0]]


def test_a_single_reading_and_none(tmp_path):
    assert read(write(tmp_path / "one", readings=1)).readings.shape == (1, *GRID.shape)
    assert read(write(tmp_path / "none", readings=0)).readings.shape == (0, *GRID.shape)


def test_volumes_of_voxels_of_unknown_size_are_unknown(tmp_path):
    volumes = [{"class": n, "draws_ml": [None, None]} for n in NAMES[1:]]
    assert np.isnan(read(write(tmp_path, volumes=volumes)).draws_ml).all()


def test_what_is_refused(tmp_path):
    strange = write(tmp_path / "strange", ("background", "glass", "nodule"))
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH"):
        read(strange)
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*2 draws"):
        read(write(tmp_path / "draws", volumes=[{"class": "glass", "draws_ml": [1.0]}]))
    moved = Geometry(GRID.shape, GRID.spacing, origin=(30.0, 0.0, 0.0))
    with pytest.raises(ProbsegError, match="E_AFFINE_MISMATCH"):
        read(write(tmp_path / "moved"), grid=moved)
    path = write(tmp_path / "cut") / "a" / "entropy.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ProbsegError, match="E_CORRUPT"):
        read(tmp_path / "cut")
    whole = write(tmp_path / "bare")
    manifest = json.loads((whole / "manifest.json").read_text())
    del manifest["scans"][0]["files"]["probability.nii.gz"]
    (whole / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ProbsegError, match=r"E_FILE_MISSING.*probability"):
        read(whole)
