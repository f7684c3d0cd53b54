"""No file runs anything, and every kind of broken one has its code."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.models import Deterministic, ProbabilisticUNet
from probseg.models.checkpoints import (
    PUBLISHED,
    best_checkpoint,
    describe,
    load_weights,
    read_checkpoint,
    read_weights,
    warm_start,
)
from probseg.networks import L3UNet, UNet


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.fixture
def good(info) -> dict:
    model = Deterministic(UNet(1, 3, (4, 8)))
    return {"state_dict": model.state_dict(), "probseg": describe(info, None), "epoch": 3}


def code_of(path: Path) -> str:
    with pytest.raises(ProbsegError) as error:
        read_checkpoint(path)
    return error.value.code


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_a_good_one(good, tmp_path: Path):
    read = read_checkpoint(saved(good, tmp_path / "a.ckpt"))
    assert read["epoch"] == 3
    assert all(torch.equal(v, good["state_dict"][k]) for k, v in read["state_dict"].items())


@pytest.mark.parametrize("force", ["0", "1"])
def test_no_bomb_goes_off(good, tmp_path: Path, monkeypatch, force):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
    target = tmp_path / "made"
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(Bomb(target)))
    saved({"hyper_parameters": Bomb(target), **good}, tmp_path / "zip.ckpt")
    torch.save({**good, "x": Bomb(target)}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    for name in ("bare", "zip", "old"):
        assert code_of(tmp_path / f"{name}.ckpt") == "E_UNSAFE_CHECKPOINT"
    assert not target.exists()


def test_what_is_no_file(tmp_path: Path):
    assert code_of(tmp_path / "nowhere.ckpt") == "E_FILE_MISSING"
    assert code_of(tmp_path) == "E_IS_DIRECTORY"
    (tmp_path / "empty.ckpt").touch()
    assert code_of(tmp_path / "empty.ckpt") == "E_EMPTY_FILE"
    os.mkfifo(tmp_path / "pipe.ckpt")
    assert code_of(tmp_path / "pipe.ckpt") == "E_NOT_REGULAR"
    (tmp_path / "loop.ckpt").symlink_to(tmp_path / "loop.ckpt")
    assert code_of(tmp_path / "loop.ckpt") == "E_FILE_MISSING"


def test_what_is_damaged(good, tmp_path: Path):
    data = saved(good, tmp_path / "a.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(data[: len(data) // 2])
    assert code_of(tmp_path / "half.ckpt") == "E_CORRUPT_CHECKPOINT"
    with zipfile.ZipFile(tmp_path / "a.ckpt") as archive:
        member = max(archive.infolist(), key=lambda m: m.file_size)
    place = data.index(member.filename.encode()) + 200
    flipped = bytearray(data)
    flipped[place] ^= 1
    (tmp_path / "flipped.ckpt").write_bytes(bytes(flipped))
    assert code_of(tmp_path / "flipped.ckpt") == "E_CORRUPT_CHECKPOINT"


def test_what_is_of_another_program(good, tmp_path: Path):
    for k, content in enumerate(
        (
            [1, 2],
            {"state_dict": good["state_dict"]},
            {"probseg": good["probseg"]},
            {**good, "state_dict": [1]},
            {**good, "probseg": "mine"},
            {**good, "state_dict": {"a": "text"}},
        )
    ):
        assert code_of(saved(content, tmp_path / f"{k}.ckpt")) == "E_CORRUPT_CHECKPOINT"


def test_weights_that_are_not_finite(good, tmp_path: Path):
    good["state_dict"]["network.classify.bias"][0] = float("nan")
    assert code_of(saved(good, tmp_path / "a.ckpt")) == "E_NONFINITE"


def test_what_would_inflate(good, tmp_path: Path):
    saved(good, tmp_path / "a.ckpt")
    with (
        zipfile.ZipFile(tmp_path / "a.ckpt") as source,
        zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
        target.writestr("archive/data/bomb", bytes(8 << 20))
    assert code_of(tmp_path / "b.ckpt") == "E_TOO_LARGE"


def test_best_of_a_run(tmp_path: Path):
    with pytest.raises(ProbsegError, match="E_FILE_MISSING"):
        best_checkpoint(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert best_checkpoint(tmp_path).name == "last.ckpt"
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    assert best_checkpoint(tmp_path).name == "best.ckpt"


def test_weights_must_fit(good, tmp_path: Path):
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH"):
        load_weights(Deterministic(UNet(1, 3, (4, 12))), good["state_dict"], tmp_path / "a.ckpt")


def test_warm_start_takes_what_fits_and_says_what_does_not(good):
    model = ProbabilisticUNet(UNet(1, 3, (4, 8)), encoder_channels=(4,), hidden=4)
    prior = model.prior.moments.weight.clone()
    warm_start(model, good)
    assert torch.equal(model.network.classify.weight, good["state_dict"]["network.classify.weight"])
    assert torch.equal(model.prior.moments.weight, prior)
    other = Deterministic(UNet(1, 2, (4, 8)))
    with pytest.warns(ProbsegWarning, match="W_WARM_START: 2 of the"):
        warm_start(other, good)
    assert torch.equal(other.network.down[0][0].weight, good["state_dict"]["network.down.0.0.weight"])
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH"):
        warm_start(model, {"state_dict": {"strange": torch.zeros(1)}})


def test_weights_of_another_program_go_where_they_fit(tmp_path: Path):
    """A checkpoint as the opacity study published them: weights under ``model``, beside those of its optimiser."""
    torch.manual_seed(0)
    study = L3UNet(1, 5, (3, 4, 5))
    content = {"model": study.state_dict(), "opt": torch.optim.Adam(study.parameters()).state_dict(), "epoch": 7}
    read = read_weights(saved(content, tmp_path / "l3net.pth"), PUBLISHED)
    same = Deterministic(L3UNet(1, 5, (3, 4, 5)))
    warm_start(same, read)
    assert all(torch.equal(v, study.state_dict()[k]) for k, v in same.network.state_dict().items())
    other = ProbabilisticUNet(L3UNet(1, 3, (3, 4, 5)), encoder_channels=(4,), hidden=4)
    head = other.network.outc.conv.weight.clone()
    with pytest.warns(
        ProbsegWarning, match=r"W_WARM_START: 2 of the 72 .*out: network.outc.conv.weight, network.outc.conv.bias$"
    ):
        warm_start(other, read)
    assert torch.equal(other.network.up2.conv.double_conv[3].weight, study.up2.conv.double_conv[3].weight)
    assert torch.equal(other.network.outc.conv.weight, head)
    parallel = {"state_dict": {f"module.{k}": v for k, v in study.state_dict().items()}}
    warm_start(same, read_weights(saved(parallel, tmp_path / "parallel.pth"), PUBLISHED))
    with pytest.raises(ProbsegError, match="E_CLASS_MISMATCH"):
        warm_start(Deterministic(UNet(1, 3, (7, 8))), read)
