"""Exported folders that are damaged, tampered with or hostile: one line each, nothing imported, nothing allocated."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from probseg.cli import main
from probseg.models import load_model

Change = Callable[[dict[str, Any]], None]


def described(folder: Path, change: Change) -> None:
    path = folder / "model.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def resealed(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Other weights, whose sum the description knows."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    described(folder, lambda data: data.update(weights_sha256=digest))


def header(folder: Path, length: int, text: bytes) -> None:
    (folder / "model.safetensors").write_bytes(length.to_bytes(8, "little") + text)


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that check and predict print; its code."""
    lines = []
    for command in (["check", str(folder)], ["predict", str(folder), "lidc-sample", "--out", str(folder) + "-out"]):
        assert main(command) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        lines.append(printed.err)
    assert lines[0] == lines[1] and lines[0].count("\n") == 1 and lines[0].startswith("error: ")
    assert not Path(str(folder) + "-out").exists()
    return lines[0].split(": ")[1]


def init_args(**values: Any) -> Change:
    return lambda data: data["model"]["init_args"].update(values)


DESCRIPTIONS: dict[str, tuple[str, Change]] = {
    "a class of another package": (
        "E_UNSAFE_CHECKPOINT",
        lambda d: d["model"].update(class_path="antigravity.Model"),
    ),
    "a network of another package": ("E_UNSAFE_CHECKPOINT", init_args(network={"class_path": "antigravity.Net"})),
    "a bare name": ("E_UNSAFE_CHECKPOINT", init_args(network="antigravity.Net")),
    "a class where none belongs": ("E_UNSAFE_CHECKPOINT", init_args(target=["antigravity.fly"])),
    "an optimizer to call": ("E_UNSAFE_CHECKPOINT", init_args(optimizer="os.system")),
    "a setting that no model has": ("E_SCHEMA", init_args(depth=3)),
    "another rank": ("E_CLASS_MISMATCH", init_args(rank=4)),
    "another family": (
        "E_CLASS_MISMATCH",
        lambda d: d.update(
            model={
                "class_path": "probseg.models.Deterministic",
                "init_args": {"network": d["model"]["init_args"]["network"]},
            }
        ),
    ),
    "a network of terabytes": (
        "E_CLASS_MISMATCH",
        lambda d: d["model"]["init_args"]["network"]["init_args"].update(channels=[4, 3_000_000]),
    ),
    "a thousand million members": (
        "E_CLASS_MISMATCH",
        lambda d: d.update(
            model={"class_path": "probseg.models.Ensemble", "init_args": {"member": d["model"], "size": 10**9}}
        ),
    ),
    "one class less": (
        "E_CLASS_MISMATCH",
        lambda d: d["dataset"]["labels"].update(groups=[], classes=d["dataset"]["labels"]["classes"][:2]),
    ),
    "a window of no width": ("E_SCHEMA", lambda d: d["dataset"].update(window=[0, 0])),
    "a key too many": ("E_SCHEMA", lambda d: d.update(hook="antigravity")),
    "a newer format": ("E_SCHEMA", lambda d: d.update(format=2)),
    "a format that is true": ("E_SCHEMA", lambda d: d.update(format=True)),
    "a model that is a list": ("E_SCHEMA", lambda d: d.update(model=["probseg.models.Deterministic"])),
    "another sum": ("E_CORRUPT_CHECKPOINT", lambda d: d.update(weights_sha256="0" * 64)),
    **{
        f"no {key}": ("E_SCHEMA", lambda d, key=key: d.pop(key))  # type: ignore[misc]
        for key in ("format", "version", "family", "weights_sha256", "checkpoint_sha256", "model", "dataset")
    },
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_that_is_not_right(name: str, low_rank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, change = DESCRIPTIONS[name]
    described(low_rank, change)
    assert refused(low_rank, capsys) == code
    assert "antigravity" not in sys.modules


TEXTS = {
    "cut off": ("E_PARSE", lambda text: text[: len(text) // 2]),
    "an object": ("E_PARSE", lambda text: "!!python/object/apply:os.mkdir [pwned]"),
    "a bomb": (
        "E_PARSE",
        lambda text: (
            "a: &a [x,x]\n"
            + "".join(f"b{k}: &b{k} [{', '.join(['*a' if not k else f'*b{k - 1}'] * 9)}]\n" for k in range(9))
        ),
    ),
    "not a number": ("E_PARSE", lambda text: text.replace('"format": 1', '"format": .nan')),
    "a list": ("E_SCHEMA", lambda text: "[]"),
    "empty": ("E_EMPTY_FILE", lambda text: ""),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_description_that_cannot_be_read(name: str, low_rank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, change = TEXTS[name]
    path = low_rank / "model.json"
    path.write_text(change(path.read_text()))
    assert refused(low_rank, capsys) == code


def flipped(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def cut(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def not_finite(weights: dict[str, torch.Tensor]) -> None:
    next(v for v in weights.values() if v.is_floating_point()).view(-1)[0] = float("nan")


def reshaped(weights: dict[str, torch.Tensor]) -> None:
    weights["network.classify.weight"] = weights["network.classify.weight"][:-1].contiguous()


def halved(weights: dict[str, torch.Tensor]) -> None:
    weights.update({k: v.half() if v.is_floating_point() else v for k, v in weights.items()})


FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "one bit flipped": ("E_CORRUPT_CHECKPOINT", flipped),
    "half of it": ("E_CORRUPT_CHECKPOINT", cut),
    "a header of 2^62 bytes": ("E_CORRUPT_CHECKPOINT", lambda f: header(f, 2**62, b"{}")),
    "a header of 99 MB that is not there": ("E_CORRUPT_CHECKPOINT", lambda f: header(f, 99_000_000, b"{}")),
    "a nested header": ("E_CORRUPT_CHECKPOINT", lambda f: header(f, 100_000, b"[" * 100_000)),
    "a pickle": (
        "E_CORRUPT_CHECKPOINT",
        lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04cos\nmkdir\n.") and None,
    ),
    "nothing in it": ("E_EMPTY_FILE", lambda f: (f / "model.safetensors").write_bytes(b"") and None),
    "not there": ("E_FILE_MISSING", lambda f: (f / "model.safetensors").unlink()),
    "the description not there": ("E_FILE_MISSING", lambda f: (f / "model.json").unlink()),
    "a weight that is no number": ("E_NONFINITE", lambda f: resealed(f, not_finite)),
    "a weight of another shape": ("E_CLASS_MISMATCH", lambda f: resealed(f, reshaped)),
    "weights of another type": ("E_CLASS_MISMATCH", lambda f: resealed(f, halved)),
    "a weight too few": ("E_CLASS_MISMATCH", lambda f: resealed(f, lambda w: w.__delitem__("network.classify.bias"))),
    "a weight too many": ("E_CLASS_MISMATCH", lambda f: resealed(f, lambda w: w.update(more=torch.zeros(2)))),
}


@pytest.mark.parametrize("name", FILES)
def test_weights_that_are_not_right(name: str, low_rank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, change = FILES[name]
    change(low_rank)
    assert refused(low_rank, capsys) == code


def test_the_same_changes_leave_a_sound_folder_sound(low_rank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described(low_rank, lambda data: None)
    resealed(low_rank, lambda weights: None)
    assert main(["check", str(low_rank), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["family"]) == ("checkpoint", "StochasticSegmentation")
    for name in ("model.json", "model.safetensors"):
        assert main(["check", str(low_rank / name)]) == 0
    assert type(load_model(low_rank / "model.safetensors")).__name__ == "StochasticSegmentation"
