"""What is exported comes back as it was, bit for bit, and lies there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from probseg.calibrators import Sizes, Temperature, write_calibrator
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.exporting import About, RunFacts, export_model, folder
from probseg.models import load_model
from probseg.models.calibration import use_calibration
from probseg.models.checkpoints import best_checkpoint
from tests.exporting.conftest import DETERMINISTIC, FAMILIES, LOW_RANK, NAMED, exported, made, saved, scan, unet

FILES = ["README.md", "model.json", "model.safetensors"]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    model, out = exported(FAMILIES[name], tmp_path)
    again = load_model(out)
    assert type(again) is type(model) and again.info == model.info and again.draws == model.draws
    own, found = model.state_dict(), again.state_dict()
    assert list(own) == list(found) and all(torch.equal(own[k], found[k]) for k in own)
    with torch.inference_mode():
        wanted = model(scan(model), Draws(3, seed=1)).logits
        assert torch.equal(again(scan(model), Draws(3, seed=1)).logits, wanted)
    assert torch.isfinite(wanted).all() and wanted.std() > 0
    assert sorted(p.name for p in out.iterdir()) == FILES
    assert sorted(p.name for p in tmp_path.iterdir()) == ["exported", "run"]


def test_a_calibrated_run_stays_calibrated(tmp_path: Path) -> None:
    checkpoint = saved(made(LOW_RANK), tmp_path / "run")
    calibrator, sizes = Temperature(), Sizes(NAMED.labels.num_classes, 1, 2)
    calibrator.prepare(sizes)
    with torch.no_grad():
        for value in calibrator.parameters():
            value.add_(0.7)
    config = {"class_path": "probseg.calibrators.Temperature", "init_args": {}}
    record = {"cases": 3, "patients": 2, "split": "calibration"}
    write_calibrator(checkpoint, calibrator, config, sizes, NAMED.labels.names, record)
    model = load_model(checkpoint)
    plain = model(scan(model), Draws(2)).logits
    use_calibration(model, checkpoint)
    export_model(model, checkpoint, RunFacts(), About(), tmp_path / "out", onnx=False)
    again = load_model(tmp_path / "out")
    use_calibration(again, best_checkpoint(tmp_path / "out"))
    assert again.calibration is not None and again.calibration["fitted_on"] == record
    wanted = model(scan(model), Draws(2)).logits
    assert torch.equal(again(scan(model), Draws(2)).logits, wanted) and not torch.equal(wanted, plain)
    assert "Temperature" in (tmp_path / "out" / "README.md").read_text()
    with (tmp_path / "out" / "model.safetensors").open("r+b") as file:  # the calibrator is of these weights alone
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(ProbsegError, match="E_STALE_CALIBRATION"):
        use_calibration(again, best_checkpoint(tmp_path / "out"))


def test_the_same_model_gives_the_same_bytes_and_says_no_path(tmp_path: Path) -> None:
    config = {**LOW_RANK, "init_args": {**LOW_RANK["init_args"], "warm_start": str(tmp_path / "somewhere")}}
    checkpoint = saved(made(config), tmp_path / "run")
    model = load_model(checkpoint)
    for name in ("a", "b"):
        export_model(model, checkpoint, RunFacts(), About(), tmp_path / name, onnx=False)
    assert [(tmp_path / "a" / n).read_bytes() for n in FILES] == [(tmp_path / "b" / n).read_bytes() for n in FILES]
    assert all(str(tmp_path).encode() not in (tmp_path / "a" / n).read_bytes() for n in FILES)
    assert load_model(tmp_path / "a").warm_start is None
    weights = load_file(tmp_path / "a" / "model.safetensors")
    assert {k: tuple(v.shape) for k, v in weights.items()} == {k: tuple(v.shape) for k, v in model.state_dict().items()}
    modes = {(tmp_path / "a" / n).stat().st_mode for n in FILES}
    assert len(modes) == 1  # whoever may read the card may read the weights


def test_a_class_of_another_package_cannot_be_exported(tmp_path: Path) -> None:
    network = {
        "class_path": "monai.networks.nets.BasicUNet",
        "init_args": {"spatial_dims": 2, "out_channels": 9, "features": [4, 4, 4, 4, 4, 4]},
    }
    model = made({"class_path": "probseg.models.Deterministic", "init_args": {"network": network}})
    checkpoint = saved(model, tmp_path / "run")
    with pytest.raises(ProbsegError, match=r"E_NOT_EXPORTABLE.*BasicUNet"):
        export_model(model, checkpoint, RunFacts(), About(), tmp_path / "out", onnx=False)
    assert not (tmp_path / "out").exists()


def test_an_earlier_export_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, out = exported(DETERMINISTIC, tmp_path)
    before = (out / "model.json").read_bytes()
    checkpoint = saved(made(LOW_RANK), tmp_path / "other")
    other = load_model(checkpoint)
    with pytest.raises(ProbsegError, match="E_OUTPUT_EXISTS"):
        export_model(other, checkpoint, RunFacts(), About(), out, onnx=False)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "model_card", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(ProbsegError, match=r"E_NOT_WRITABLE.*No space left"):
            export_model(other, checkpoint, RunFacts(), About(), out, onnx=False, overwrite=True)
    assert (out / "model.json").read_bytes() == before and type(load_model(out)) is type(model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["exported", "other", "run"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ProbsegError, match=r"E_OUTPUT_EXISTS.*notes\.txt"):
        export_model(other, checkpoint, RunFacts(), About(), out, onnx=False, overwrite=True)
    (out / "notes.txt").unlink()
    export_model(other, checkpoint, RunFacts(), About(), out, onnx=False, overwrite=True)
    assert type(load_model(out)) is type(other)


def test_the_description_in_full(tmp_path: Path) -> None:
    _, out = exported(DETERMINISTIC, tmp_path)
    data = json.loads((out / "model.json").read_text())
    assert data["format"] == 1 and data["family"] == "Deterministic" and data["dataset"] == NAMED.to_dict()
    assert data["model"]["class_path"] == "probseg.models.Deterministic"
    assert data["model"]["init_args"]["network"] == unet()


def test_weights_of_an_export_are_a_start_for_another_training(tmp_path: Path) -> None:
    model, out = exported(DETERMINISTIC, tmp_path)
    fresh = made(DETERMINISTIC)
    torch.manual_seed(9)
    for value in fresh.parameters():
        torch.nn.init.normal_(value)
    fresh.start_from(best_checkpoint(out))
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in fresh.state_dict().items())
