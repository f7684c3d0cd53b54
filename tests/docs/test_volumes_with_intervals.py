"""The page's Python, cut from it, runs on predictions that the real command line made."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from probseg.cli import main
from probseg.data.synthetic import DEFAULT_SITES, default_raters, generate, write

pytestmark = pytest.mark.journey

TINY = (
    *("--trainer.max_steps=2", "--trainer.max_epochs=1", "--trainer.limit_val_batches=1", "--data.batch_size=4"),
    "--trainer.callbacks=[]",
    *("--data.epoch_length=8", "--trainer.precision=32", "--model.init_args.network.init_args.channels=[4,8]"),
    *("--model.init_args.encoder_channels=[4,8]", "--model.init_args.hidden=4", "--data.slices=true"),
)


@pytest.fixture(scope="module")
def blocks(repository: Path) -> list[str]:
    page = (repository / "docs" / "how-to" / "volumes_with_intervals.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)


def test_volumes_are_widened_on_the_calibration_split_and_measured_on_the_test_split(
    blocks: list[str],
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    write(generate(13, 0, DEFAULT_SITES[:2], default_raters(2), (2, 32, 32)), "ct", 0, shares=(0.08, 0.08, 0.69, 0.15))
    experiments = repository / "experiments"
    configs = ("-c", str(experiments / "trainer.yaml"), "-c", str(experiments / "synthetic/probabilistic_unet.yaml"))
    assert main(["fit", *configs, "--data.root=ct", *TINY, "--out=run"]) == 0
    assert main(["predict", "run", "ct", "--split", "calibration", "test", "--draws", "4", "--out", "predictions"]) == 0
    capsys.readouterr()
    names: dict = {}
    exec(blocks[0], names)
    fitted, before, after = capsys.readouterr().out.splitlines()
    assert json.loads(fitted)["patients"] == 9 and names["fitted"].pooled[0] < np.inf
    assert before.startswith("IntervalCoverage") and after.startswith("IntervalCoverage")
    held = [
        np.mean((low <= volumes) & (volumes <= high))
        for (low, high), volumes in zip(names["fitted"].widen(names["ends"]), names["raters"], strict=True)
    ]
    assert len(held) == 2 and names["interval_coverage"](names["ends"], names["raters"], names["patients"]).held.n == 2


def test_a_threshold_takes_what_is_drawn(blocks: list[str]):
    rng = np.random.default_rng(0)
    cases = []
    for _ in range(20):
        p = rng.random((1, 8, 8)).astype(np.float32)
        cases.append((np.concatenate([1 - p, p]), (rng.random((2, 8, 8)) < p).astype(np.uint8), None))
    names = {"calibration_cases": cases, "calibration_patients": list(range(20)), "mean": cases[0][0]}
    exec(blocks[1], names)
    assert 0 < names["control"].threshold < 0.6 and names["control"].patients == 20
    assert names["taken"].shape == (8, 8)
