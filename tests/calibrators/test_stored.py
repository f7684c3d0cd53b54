"""A calibrator on disk: found again, bound to its checkpoint, and never a way to run code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from probseg.calibrators import Calibrator, Sizes, build_calibrator, calibrator_path, read_calibrator, write_calibrator
from probseg.distribution import SegmentationDistribution
from probseg.errors import ProbsegError

SIZES = Sizes(2, 1, 2)


class Foreign(Calibrator):
    """A calibrator of another package."""

    def prepare(self, sizes: Sizes) -> None:
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, distribution, image):
        return SegmentationDistribution(distribution.logits + self.offset)


FOREIGN = f"{Foreign.__module__}.Foreign"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"weights")
    return path


def write(checkpoint: Path, method: str = "Temperature", **settings: object) -> Calibrator:
    calibrator, config = build_calibrator({"class_path": method, "init_args": settings})
    calibrator.prepare(SIZES)
    with torch.no_grad():
        for value in calibrator.parameters():
            value += 0.25
    write_calibrator(checkpoint, calibrator, config, SIZES, ["background", "nodule"], {"cases": 3})
    return calibrator


def change(path: Path, **values: object) -> None:
    """Other words in the description of a stored calibrator."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        description = json.loads(file.metadata()["probseg_calibrator"])
    save_file(load_file(path), path, {"probseg_calibrator": json.dumps({**description, **values})})


@pytest.mark.parametrize("method", ["Temperature", "ClassTemperature", "VectorScaling", "LocalTemperature", "Isotonic"])
def test_found_again(method, checkpoint):
    written = write(checkpoint, method)
    stored = read_calibrator(checkpoint)
    assert stored is not None
    assert (stored.method, stored.sizes, stored.classes) == (method, SIZES, ("background", "nodule"))
    assert stored.record == {"cases": 3}
    assert stored.config["class_path"] == f"probseg.calibrators.{method}"
    for name, value in written.state_dict().items():
        assert torch.equal(stored.calibrator.state_dict()[name], value)
    note = json.loads(checkpoint.with_name("best.calibration.json").read_text())
    assert note["checkpoint"]["name"] == "best.ckpt"


def test_settings_are_kept(checkpoint):
    write(checkpoint, "LocalTemperature", width=3)
    stored = read_calibrator(checkpoint)
    assert stored is not None
    assert stored.config["init_args"]["width"] == 3


def test_none_there_is_none(checkpoint):
    assert read_calibrator(checkpoint) is None


def test_one_of_other_weights_is_refused(checkpoint):
    write(checkpoint)
    checkpoint.write_bytes(b"other weights")
    with pytest.raises(ProbsegError, match=r"E_STALE_CALIBRATION.*probseg calibrate again.*--calibration none"):
        read_calibrator(checkpoint)


def test_a_file_does_not_say_what_to_import(checkpoint):
    write(checkpoint)
    change(calibrator_path(checkpoint), class_path=FOREIGN)
    with pytest.raises(ProbsegError, match="E_UNSAFE_CHECKPOINT"):
        read_calibrator(checkpoint)


@pytest.mark.parametrize(
    "values", [{"sizes": {"classes": 2}}, {"sizes": {**SIZES.to_dict(), "classes": "x"}}, {"record": None}]
)
def test_a_description_that_makes_no_sense(values, checkpoint):
    write(checkpoint, "VectorScaling")
    change(calibrator_path(checkpoint), **values)
    with pytest.raises(ProbsegError, match="E_CORRUPT_CHECKPOINT"):
        read_calibrator(checkpoint)


def test_damage_and_numbers_that_are_none(checkpoint):
    write(checkpoint)
    path = calibrator_path(checkpoint)
    whole = path.read_bytes()
    for broken in (whole[:20], b"", whole[:8] + b"x" * (len(whole) - 8)):
        path.write_bytes(broken)
        with pytest.raises(ProbsegError, match=r"E_CORRUPT_CHECKPOINT|E_EMPTY"):
            read_calibrator(checkpoint)
    save_file({"log_temperature": torch.tensor(float("nan"))}, path, {"probseg_calibrator": "{}"})
    with pytest.raises(ProbsegError, match="E_NONFINITE"):
        read_calibrator(checkpoint)
    calibrator, config = build_calibrator("Temperature")
    calibrator.prepare(SIZES)
    calibrator.log_temperature.data.fill_(float("inf"))
    with pytest.raises(ProbsegError, match="E_NONFINITE"):
        write_calibrator(checkpoint, calibrator, config, SIZES, ["a", "b"], {})


@pytest.mark.parametrize("method", ["Temprature", "probseg.models.Deterministic", "os.system"])
def test_what_is_no_calibrator(method):
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*methods are ClassTemperature, Isotonic"):
        build_calibrator(method)


def test_a_setting_that_is_none():
    with pytest.raises(ProbsegError, match="E_SCHEMA"):
        build_calibrator({"class_path": "Temperature", "init_args": {"width": 2}})
    with pytest.raises(ProbsegError, match=r"E_SCHEMA.*width"):
        build_calibrator({"class_path": "LocalTemperature", "init_args": {"width": 0}})
