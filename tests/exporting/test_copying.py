"""A folder that was exported already keeps its weights, description and card."""

from __future__ import annotations

from pathlib import Path

import pytest

from probseg.exporting import copy_export, copying
from probseg.exporting.onnx_file import OnnxFile
from probseg.models import load_model


def test_a_copy_gains_the_graph_and_its_section_once(
    low_rank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (low_rank / "strange.sh").write_text("echo")
    model = load_model(low_rank)

    def graph(model: object, path: Path, description: dict) -> OnnxFile:
        path.write_bytes(b"graph")
        return OnnxFile(20, 3, 1e-7, ("rows", "columns"))

    monkeypatch.setattr(copying, "graph_of", graph)
    copy_export(model, low_rank, tmp_path / "once", onnx=False)
    copy_export(model, low_rank, tmp_path / "a")
    copy_export(model, tmp_path / "a", tmp_path / "b")
    card = (low_rank / "README.md").read_text()
    assert (tmp_path / "once" / "README.md").read_text() == card
    with_graph = (tmp_path / "a" / "README.md").read_text()
    assert with_graph.startswith(card) and with_graph.count("## ONNX") == 1
    assert (tmp_path / "b" / "README.md").read_text() == with_graph
    for name in ("model.json", "model.safetensors"):
        assert (tmp_path / "b" / name).read_bytes() == (low_rank / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == [
        "README.md",
        "model.json",
        "model.onnx",
        "model.safetensors",
    ]
    copy_export(model, tmp_path / "a", tmp_path / "b", onnx=False, overwrite=True)
    assert (tmp_path / "b" / "README.md").read_text() == card
