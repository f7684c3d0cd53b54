"""``probseg export`` as a user meets it: a run goes out, and what it predicted its folder predicts."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from probseg.cli import main
from probseg.commands import export
from probseg.data.synthetic import INFO, generate, write
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model

pytestmark = pytest.mark.journey

MAPS = ("mode", "probability", "entropy", "epistemic", "ambiguity", "noise", "readings")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    unet = {"num_classes": INFO.labels.num_classes, "channels": [4, 8], "foreground": 0.85}
    network = {"class_path": "probseg.networks.UNet", "init_args": unet}
    config = {
        "class_path": "probseg.models.StochasticSegmentation",
        "init_args": {"network": network, "rank": 2, "draws": 4},
    }
    model = build_model(config)
    model.bind(INFO)
    folder = tmp_path_factory.mktemp("runs") / "low_rank"
    (folder / "checkpoints").mkdir(parents=True)
    state = {"state_dict": model.state_dict(), "probseg": describe(model.info, model.config)}
    torch.save(state, folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = generate(1, seed=4, shape=(2, 32, 40))
    dataset = write(cases, tmp_path_factory.mktemp("ct") / "ct", seed=0, shares=(0, 0, 0, 1), with_truth=False)
    return next((dataset / "images").iterdir())


def test_the_folder_predicts_what_the_run_predicts(
    run: Path, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "exported"
    assert main(["export", str(run), "--out", str(out), "--no-onnx"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].startswith(f"wrote {out}: README.md")
    assert printed.out.splitlines()[-1] == f"next: probseg predict {out} SCAN --out predictions"
    assert [line.split(":")[1] for line in printed.err.splitlines()] == [" W_NO_DATA", " W_NO_RESULTS"]
    for source, name in ((run, "a"), (out, "b")):
        command = ["predict", str(source), str(scan), "--readings", "3", "--seed", "1", "--out", str(tmp_path / name)]
        assert main(command) == 0
    for name in MAPS:
        a, b = (np.asanyarray(nib.load(tmp_path / f / scan.name / f"{name}.nii.gz").dataobj) for f in ("a", "b"))
        assert np.array_equal(a, b), name
    assert (tmp_path / "a" / "volumes.csv").read_bytes() == (tmp_path / "b" / "volumes.csv").read_bytes()
    capsys.readouterr()
    assert main(["export", str(run), "--out", str(out), "--no-onnx"]) == 2
    assert capsys.readouterr().err.startswith("error: E_OUTPUT_EXISTS")
    assert main(["export", str(run), "--out", str(out), "--no-onnx", "--overwrite"]) == 0


def test_without_the_extra_the_rest_is_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probseg.exporting.onnx_file.find_spec", lambda name: None if name == "onnxscript" else name)
    assert main(["export", str(run), "--out", str(tmp_path / "out")]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "W_NO_ONNX" in line]
    assert "onnxscript is not installed; pip install 'probseg[onnx]'" in line
    assert (tmp_path / "out" / "model.safetensors").exists() and not (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["export"], "E_USAGE", "give a RUN and --out"),
        (["export", "RUN"], "E_USAGE", "give a RUN and --out"),
        (["export", "RUN", "--list"], "E_USAGE", "--list goes alone"),
        (["export", "zoo:nope", "--out", "OUT"], "E_UNKNOWN_MODEL", "lidc-small"),
        (["export", "nowhere", "--out", "OUT"], "E_FILE_MISSING", "nowhere"),
        (["check", "zoo:nope"], "E_UNKNOWN_MODEL", "lidc-small"),
        (["predict", "--model", "nope", "lidc-sample", "--out", "OUT"], "E_UNKNOWN_MODEL", "lidc-small"),
        (["predict", "lidc-sample", "--out", "OUT"], "E_USAGE", "--model NAME"),
    ],
)
def test_what_cannot_be(
    words: list[str], code: str, says: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [{"RUN": str(run), "OUT": str(tmp_path / "out")}.get(word, word) for word in words]
    assert main(given) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"error: {code}: ") and says in line and line.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_list_names_every_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in export.model_names())
    assert main(["check", "zoo:lidc-small"]) == 0
    assert "StochasticSegmentation" in capsys.readouterr().out
