"""Every case of a config; experiments of the repository are the controls."""

from __future__ import annotations

import pytest

MODEL = """
model:
  class_path: probseg.models.Deterministic
  init_args:
    network: {class_path: probseg.networks.UNet, init_args: {in_channels: 1, num_classes: 2, channels: [4, 8]}}
    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: LR}}
"""
BOMB = "a: &a [x, x]\n" + "".join(
    f"{q}: &{q} [{', '.join(['*' + p] * 9)}]\n" for p, q in zip("abcdefghi", "bcdefghij", strict=True)
)
CONFIGS = {
    "model": ("ok", MODEL.replace("LR", "0.001")),
    "1e-3 is a number": ("ok", MODEL.replace("LR", "1e-3")),
    "empty": ("ok", ""),
    "only a comment": ("ok", "# nothing\n"),
    "JSON": ("ok", '{"trainer": {"max_epochs": 3}}'),
    "negative learning rate": ("E_SCHEMA", MODEL.replace("LR", "-0.001")),
    "python object": ("E_PARSE", "trainer: !!python/object/apply:os.mkdir [made]"),
    "python name": ("E_PARSE", "model: !!python/name:os.system"),
    "no LightningModule": ("E_SCHEMA", "model: {class_path: subprocess.Popen, init_args: {args: ls}}"),
    "no Callback": ("E_SCHEMA", "trainer: {callbacks: [{class_path: subprocess.Popen, init_args: {args: ls}}]}"),
    "a class that is not there": ("E_SCHEMA", "model: {class_path: probseg.models.Oracle}"),
    "key twice": ("E_PARSE", "trainer:\n  max_epochs: 3\n  max_epochs: 4\n"),
    "typo": ("E_SCHEMA", "trainer: {max_epoch: 3}"),
    "a text for a number": ("E_SCHEMA", "trainer: {max_epochs: many}"),
    "a boolean for a name": ("E_SCHEMA", "data: {root: no}"),
    "UTF-16": ("E_PARSE", "trainer: {max_epochs: 3}".encode("utf-16")),
    "cut off": ("E_PARSE", '{"trainer": {"max_epochs": '),
    "a list": ("E_SCHEMA", "- 1"),
    "a word": ("E_SCHEMA", "trainer"),
    "NaN": ("E_SCHEMA", MODEL.replace("LR", ".nan")),
    "bomb": ("E_PARSE", BOMB),
    "nested 50000 deep": ("E_PARSE", "[" * 50_000),
    "settings for another's model": ("ok", "model: {init_args: {network: {init_args: {channels: [4, 8]}}}}"),
    "a wrong one": ("E_SCHEMA", "model: {init_args: {network: {init_args: {channels: wide}}}}"),
    "warmup beyond 1": ("E_SCHEMA", MODEL.replace("LR", "0.1") + "    warmup: 2\n"),
}


@pytest.mark.parametrize(("code", "text"), CONFIGS.values(), ids=CONFIGS.keys())
def test_each_case_of_a_config(tmp_path, expect, code, text):
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    expect(path, code)
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


def test_the_configs_of_this_repository(repository, expect):
    """Those of one experiment; tests/experiments/one_step trains all of them for a step."""
    experiments = repository / "experiments"
    paths = [experiments / "trainer.yaml", *sorted((experiments / "lidc_sample").glob("*.yaml"))]
    paths = [p for p in paths if "ensemble" not in p.name]
    assert len(paths) >= 8
    for path in paths:
        expect(path, "ok")


@pytest.mark.parametrize("name", ["python object", "key twice", "UTF-16", "cut off", "bomb"])
def test_fit_meets_the_same_faults(tmp_path, run, name):
    code, text = CONFIGS[name]
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert run("fit", "-c", path).error == code
    assert run("fit", f"--config={path}").error == code
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]
