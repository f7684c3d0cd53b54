"""Two processes over gloo train what one does with a batch twice as large, and leave one run folder."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from probseg.cli import main

pytestmark = pytest.mark.journey

# Means over a batch are means of the halves' means where every voxel is rated and norms look at one image each.
MEMBER = "--model.init_args.member.init_args"
SAME = (
    *("--data.epoch_length=24", "--trainer.max_epochs=2", "--trainer.check_val_every_n_epoch=1"),
    *("--data.transforms=[]", "--trainer.limit_val_batches=1.0", "--model.init_args.size=2", f"{MEMBER}.draws=2"),
    *(f"{MEMBER}.network.init_args.{word}" for word in ("channels=[4,8]", "norm=group", "dropout=0")),
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_an_ensemble_on_two_processes_is_that_on_one(fit_words, checkpoint_of, tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(fit_words(one, *SAME, "--data.batch_size=8", family="ensemble")) == 0
    words = fit_words(two, *SAME, "--data.batch_size=4", family="ensemble")
    devices = ["--trainer.devices=2", "--trainer.strategy=ddp"]
    done = subprocess.run(
        [sys.executable, "-m", "probseg", *words, *devices], capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("wrote") == 3, "each member and the whole, told by one process"
    names = [sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()) for run in (one, two)]
    assert names[0] == names[1]
    for member in ("members/0", "members/1"):
        first, second = (rows_of(run / member / "metrics.csv") for run in (one, two))
        assert len(first) == len(second) == 8
        for a, b in zip(first, second, strict=True):
            assert a.keys() == b.keys()
            for name in a:
                close = {"rel": 1e-5, "abs": 1e-6, "nan_ok": True}
                assert (float(a[name] or 0)) == pytest.approx(float(b[name] or 0), **close), name
    x, y = (checkpoint_of(run, "best")["state_dict"] for run in (one, two))
    for name in x:
        torch.testing.assert_close(x[name], y[name], rtol=1e-4, atol=1e-5)
