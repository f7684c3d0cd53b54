"""Checkpoints are whole or not there, and what was there stays until the new one is safe."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.models.checkpoints import read_checkpoint
from probseg.training.checkpoint_files import WholeCheckpoints

GOOD = {"state_dict": {"weight": torch.arange(6.0), "steps": torch.tensor(3)}, "probseg": {}, "global_step": 3}


def test_what_is_written_is_what_is_read(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpoints().save_checkpoint(GOOD, path)
    assert torch.equal(read_checkpoint(path)["state_dict"]["weight"], GOOD["state_dict"]["weight"])
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_not_kept(tmp_path, bad):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(GOOD, path)
    before = path.read_bytes()
    spoilt = {"state_dict": {"weight": torch.tensor([1.0, bad])}, "probseg": {}, "global_step": 9}
    with pytest.raises(ProbsegError, match="E_NONFINITE: the weight 'weight' is not finite after step 9"):
        WholeCheckpoints().save_checkpoint(spoilt, path)
    assert path.read_bytes() == before


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def other_numbers(data: bytes) -> bytes:
    return data.replace(b"\0\0\x80?", b"xxxx")  # 1.0


@pytest.mark.parametrize("damage", [cut, other_numbers])
def test_a_disk_that_gives_back_something_else_is_met_before_the_file_has_its_name(tmp_path, monkeypatch, damage):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(GOOD, path)
    before = path.read_bytes()
    save = torch.save

    def onto_a_bad_disk(checkpoint, file):
        save(checkpoint, file)
        file.flush()
        data = damage(Path(file.name).read_bytes())
        file.seek(0)
        file.truncate(0)
        file.write(data)

    monkeypatch.setattr(torch, "save", onto_a_bad_disk)
    with pytest.raises(ProbsegError, match=r"E_NOT_WRITABLE: .*what was written"):
        WholeCheckpoints().save_checkpoint(GOOD, path)
    assert path.read_bytes() == before
    assert zipfile.is_zipfile(path)
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
