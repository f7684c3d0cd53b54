"""ONNX files whose outputs are PyTorch's, at sizes that the graph was not traced with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from probseg.calibrators import Sizes, Temperature
from probseg.data.synthetic import INFO
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.exporting import About, RunFacts, export_model, onnx_file
from probseg.exporting.deterministic_part import DeterministicPart
from probseg.exporting.onnx_file import OnnxFile, write_onnx
from probseg.models import SegmentationModule
from tests.exporting.conftest import FAMILIES, made, saved

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def calibrated() -> SegmentationModule:
    model = made(FAMILIES["latent"])
    calibrator = Temperature()
    calibrator.prepare(Sizes(INFO.labels.num_classes, 1, 2))
    with torch.no_grad():
        for value in calibrator.parameters():
            value.add_(0.7)
    model.calibrate(calibrator.eval())
    return model


@pytest.fixture(scope="module")
def written(
    calibrated: SegmentationModule, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, OnnxFile, Any]]:
    """The file, what is said of it, and what torch made, which a test need not make again."""
    programs, make = [], onnx_file._program
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_file, "_program", lambda part: programs.append(make(part)) or programs[0])
        found = write_onnx(DeterministicPart(calibrated).eval(), path, {"classes": ["a", "b"], "version": "1"})
    yield path, found, programs[0]


@pytest.mark.oracle
def test_the_file_says_what_the_calibrated_model_says(
    calibrated: SegmentationModule, written: tuple[Path, OnnxFile, Any]
) -> None:
    path, found, _ = written
    assert found.noise_size == 6 and found.axes == ("rows", "columns") and 0 <= found.difference < 1e-5
    session = onnxruntime.InferenceSession(path)
    low, high = INFO.window
    for batch, draws, space in ((1, Draws(1), (16, 16)), (3, Draws(5, seed=4), (21, 34))):
        image = torch.rand(batch, 1, *space)
        raw = (image * (high - low) + low).numpy()
        (logits,) = session.run(["logits"], {"image": raw, "noise": draws.noise(6).numpy()})
        with torch.no_grad():
            wanted = calibrated(image, draws).logits
        assert logits.shape == tuple(wanted.shape)
        torch.testing.assert_close(torch.from_numpy(logits), wanted, rtol=1e-3, atol=1e-3)


def test_its_axes_have_names_and_it_says_what_it_is(written: tuple[Path, OnnxFile, Any]) -> None:
    path, found, _ = written
    proto = onnx.load(path)
    axes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    classes = INFO.labels.num_classes
    assert axes == {
        "image": ["batch", 1, "rows", "columns"],
        "noise": ["readings", 6],
        "logits": [1, "readings", "batch", classes, "rows", "columns"],
    }
    said = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(said["probseg.classes"]) == ["a", "b"] and said["probseg.version"] == "1"
    assert {e.domain: e.version for e in proto.opset_import}[""] == found.opset


def test_a_file_that_differs_is_not_left(
    written: tuple[Path, OnnxFile, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "_program", lambda part: written[2])
    other = made(FAMILIES["latent"])  # not calibrated, so its probabilities are others
    with pytest.raises(ProbsegError, match="E_ONNX_DIFFERS"):
        write_onnx(DeterministicPart(other).eval(), tmp_path / "model.onnx", {})
    assert not (tmp_path / "model.onnx").exists()


def test_a_graph_that_runs_at_one_size_only_is_left_out(
    written: tuple[Path, OnnxFile, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "_program", lambda part: written[2])

    def fail(*_: Any) -> Any:
        raise ValueError("Non-zero status code returned while running GatherND node")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", fail)
    with pytest.raises(ProbsegError, match=r"E_NO_ONNX.*does not run on images of \(45, 50\)"):
        write_onnx(DeterministicPart(made(FAMILIES["latent"])).eval(), tmp_path / "model.onnx", {})
    assert not (tmp_path / "model.onnx").exists()


def test_what_torch_cannot_export_is_left_out_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(FAMILIES["deterministic"])
    checkpoint = saved(model, tmp_path / "run")

    def fail(part: DeterministicPart) -> Any:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(onnx_file, "_program", fail)
    with pytest.warns(UserWarning, match="W_NO_ONNX"):
        done = export_model(model, checkpoint, RunFacts(), About(), tmp_path / "out")
    assert done.onnx is None and sorted(done.files) == ["README.md", "model.json", "model.safetensors"]
