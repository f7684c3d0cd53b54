"""Every case of a checkpoint: nothing that it brings along is run, and what does not fit is told."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile

import pytest
import torch

from probseg.labels import LabelClass, LabelSet
from probseg.models.checkpoints import describe
from probseg.models.loading import build_model
from probseg.records import DatasetInfo

NETWORK = {"class_path": "probseg.networks.UNet", "init_args": {"in_channels": 1, "channels": [4, 8]}}


def config(classes=2):
    network = {**NETWORK, "init_args": {**NETWORK["init_args"], "num_classes": classes}}
    return {"class_path": "probseg.models.Deterministic", "init_args": {"network": network}}


def info(classes=2):
    labels = LabelSet(tuple(LabelClass(k, f"class-{k}") for k in range(classes)))
    return DatasetInfo("toy", 2, labels, (0.0, 1.0))


def content(head=2, told=2):
    """Weights of a head of ``head`` classes in a checkpoint that tells of ``told``."""
    return {"state_dict": build_model(config(head)).state_dict(), "probseg": describe(info(told), config(told))}


@pytest.fixture
def saved(tmp_path):
    def save(made, name="a.ckpt"):
        torch.save(made, tmp_path / name)
        return tmp_path / name

    return save


class Bomb:
    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_a_checkpoint_of_ours(saved, expect):
    facts = expect(saved(content()), "ok").facts
    assert (facts["family"], facts["classes"]) == ("Deterministic", ["class-0", "class-1"])


def test_a_run_folder(tmp_path, saved, expect):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    saved(content()).rename(tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert expect(tmp_path / "run", "ok").facts["family"] == "Deterministic"


def test_weights_of_another_program(saved, expect):
    weights = {"conv.weight": torch.zeros(2, 1, 3, 3), "conv.bias": torch.zeros(2)}
    for made in (weights, {"state_dict": weights, "epoch": 3}):
        facts = expect(saved(made, "a.pt"), "ok").facts
        assert (facts["weights"], facts["parameters"], facts["family"]) == (2, 20, None)


@pytest.mark.parametrize("force", ["0", "1"])
def test_no_bomb_goes_off(tmp_path, saved, expect, monkeypatch, force):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
    target = tmp_path / "made"
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Bomb(target)))
    expect(tmp_path / "bare.pt", "E_UNSAFE_CHECKPOINT")
    expect(saved(Bomb(target)), "E_UNSAFE_CHECKPOINT")
    expect(saved({**content(), "hyper_parameters": {"lr": Bomb(target)}}), "E_UNSAFE_CHECKPOINT")
    assert not target.exists()


@pytest.mark.parametrize("key", ["_instantiator", "_class_path", "_target_"])
def test_a_text_that_names_a_callable(saved, expect, key):
    """weights_only lets it through; Lightning or hydra would import and call it."""
    expect(saved({**content(), "hyper_parameters": {"net": {key: "os.system"}}}), "E_UNSAFE_CHECKPOINT")


def test_a_config_that_names_a_callable(saved, expect):
    evil = content()
    evil["probseg"]["config"]["init_args"]["optimizer"] = {"class_path": "subprocess.Popen", "init_args": {}}
    expect(saved(evil), "E_UNSAFE_CHECKPOINT")


def test_an_expression_in_the_metadata_is_a_text(saved, expect):
    expect(saved({**content(), "metadata": {"network": "$__import__('os').mkdir('made')"}}), "ok")


def test_damage(tmp_path, saved, expect):
    path = saved(content())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    expect(path, "E_CORRUPT_CHECKPOINT")
    path.write_bytes(b"")
    expect(path, "E_EMPTY_FILE")
    with zipfile.ZipFile(saved(content())) as archive:
        largest = max(archive.infolist(), key=lambda m: m.file_size)
    flipped = bytearray(whole)
    flipped[largest.header_offset + 200] ^= 4
    path.write_bytes(flipped)
    expect(path, "E_CORRUPT_CHECKPOINT")
    folder = tmp_path / "folder.ckpt"
    folder.mkdir()
    expect(folder, "E_IS_DIRECTORY")


def test_a_head_of_other_classes(saved, expect):
    expect(saved(content(head=5, told=2)), "E_CLASS_MISMATCH")
    of_five = content(head=5, told=5)
    of_five["probseg"]["info"] = info(2).to_dict()
    expect(saved(of_five), "E_CLASS_MISMATCH")


def test_weights_that_are_no_numbers(saved, expect):
    made = content()
    next(iter(made["state_dict"].values())).data.fill_(float("nan"))
    expect(saved(made), "E_NONFINITE")


@pytest.mark.parametrize("made", [{"epoch": 3}, {"model": {"w": torch.zeros(2)}}, [1, 2], {"state_dict": [1]}, {}])
def test_no_weights(saved, expect, made):
    expect(saved(made), "E_CORRUPT_CHECKPOINT")


def test_an_archive_that_inflates(tmp_path, saved, expect):
    path = saved({"state_dict": {"w": torch.zeros(2**23)}})  # 32 MiB of zeros
    small = tmp_path / "small.ckpt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    assert small.stat().st_size < 2**17
    expect(small, "E_TOO_LARGE")


def test_a_member_that_climbs_is_never_extracted(tmp_path, saved, expect):
    path = saved(content())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped.txt", "out")
    expect(path, "ok E_CORRUPT_CHECKPOINT")
    assert not list(tmp_path.parent.rglob("escaped.txt"))


# safetensors ----------------------------------------------------------------------------------------------------------


def safetensors(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


def test_safetensors(tmp_path, expect):
    path = tmp_path / "a.safetensors"
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"w": torch.ones(3), "b": torch.ones(2, dtype=torch.bfloat16), "n": torch.tensor(3)}, path, {"by": "us"})
    assert expect(path, "ok").facts["weights"] == 3
    save_file({"w": torch.tensor([1.0, float("inf")])}, path)
    expect(path, "E_NONFINITE")
    save_file({"w": torch.tensor([1.0, float("nan")], dtype=torch.bfloat16)}, path)
    expect(path, "E_NONFINITE")


SAFETENSORS = {
    "header of 2^62": lambda p: safetensors(p, entry(), bytes(8), 2**62),
    "no JSON": lambda p: safetensors(p, b"{,}", bytes(8)),
    "a list": lambda p: safetensors(p, [1], bytes(8)),
    "nested": lambda p: safetensors(p, b"[" * 100_000, bytes(8)),
    "beyond the end": lambda p: safetensors(p, entry(offsets=(8, 16)), bytes(8)),
    "another length": lambda p: safetensors(p, entry(shape=(3,)), bytes(8)),
    "backwards": lambda p: safetensors(p, entry(offsets=(8, 0)), bytes(8)),
    "negative": lambda p: safetensors(p, entry(offsets=(-8, 0)), bytes(8)),
    "unknown type": lambda p: safetensors(p, entry(dtype="X9"), bytes(8)),
    "type that is a list": lambda p: safetensors(p, entry(dtype=["F32"]), bytes(8)),
    "no offsets": lambda p: safetensors(p, {"w": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "three bytes": lambda p: p.write_bytes(b"abc") and p,
}


@pytest.mark.parametrize("make", SAFETENSORS.values(), ids=SAFETENSORS.keys())
def test_safetensors_that_lie(tmp_path, expect, make):
    expect(make(tmp_path / "a.safetensors"), "E_CORRUPT_CHECKPOINT")
