"""The tutorial's family, cut from the page, goes through the real command line and keeps what the page promises."""

from __future__ import annotations

import csv
import importlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from probseg.batch import Example, collate
from probseg.cli import main
from probseg.distribution import Draws
from probseg.labels import LabelSet
from probseg.models import load_model
from probseg.networks import UNet
from probseg.records import DatasetInfo

TINY = {
    "fit": (
        *("--trainer.max_steps=2", "--trainer.max_epochs=1", "--trainer.limit_val_batches=1", "--data.batch_size=4"),
        *("--data.epoch_length=8", "--trainer.precision=32", "--model.init_args.network.init_args.channels=[4,8]"),
    ),
    "test": ("--trainer.limit_test_batches=2",),
}


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "tutorials" / "add_a_family.md").read_text(encoding="utf-8")


def block(page: str, language: str) -> str:
    """The one code block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    return found


@pytest.fixture
def workplace(page: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the page's two files, from which its module can be imported."""
    (tmp_path / "my_families.py").write_text(block(page, "python"), encoding="utf-8")
    (tmp_path / "multiple_hypotheses.yaml").write_text(block(page, "yaml"), encoding="utf-8")
    (tmp_path / "experiments").symlink_to(repository / "experiments")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("my_families", None)


def test_the_code_is_at_most_sixty_lines(page: str) -> None:
    lines = block(page, "python").splitlines()
    assert len(lines) <= 60
    assert max(len(line) for line in lines) <= 120


@pytest.mark.journey
def test_the_pages_commands_from_fit_to_predict(page: str, workplace: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 1)).astype(np.int16)
    nib.save(nib.Nifti1Image(image, np.diag([0.7, 0.7, 2.0, 1.0])), workplace / "scan.nii.gz")
    commands = [shlex.split(line) for line in block(page, "bash").splitlines()]
    assert commands[0] == ["export", "PYTHONPATH=."]
    assert [c[:2] for c in commands[1:]] == [["probseg", name] for name in ("fit", "test", "report", "predict")]
    for _, name, *words in commands[1:]:
        words = ["scan.nii.gz" if word == "SCAN" else word for word in words]
        assert main([name, *words, *TINY.get(name, ())]) == 0, name
    run = workplace / "runs" / "multiple_hypotheses"
    with (run / "results.csv").open(newline="", encoding="utf-8") as file:
        figures = {row["metric"]: float(row["value"]) for row in csv.DictReader(file)}
    assert np.isfinite(figures["ged_v"]) and np.isfinite(figures["log_likelihood"])
    summary = json.loads((workplace / "predictions" / "scan" / "summary.json").read_text(encoding="utf-8"))
    assert summary["draws"] == 8 and summary["model"] == "my_families.MultipleHypotheses"
    assert "multiple_hypotheses" in (workplace / "report.html").read_text(encoding="utf-8")
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["class_path"] == "my_families.MultipleHypotheses"
    assert type(load_model(run)).__name__ == "MultipleHypotheses"


def test_the_heads_share_out_what_raters_draw(workplace: Path) -> None:
    """One rater sees half of what the other does; after a short training each of them has a head."""
    family = importlib.import_module("my_families").MultipleHypotheses
    torch.manual_seed(0)
    model = family(UNet(1, 2, (8, 8)), heads=4)
    model.bind(DatasetInfo("two", 2, LabelSet.binary("lesion"), (0.0, 1.0)))
    image, masks = torch.zeros(1, 16, 16), torch.zeros(2, 16, 16, dtype=torch.uint8)
    image[:, 4:12, 4:12] = 1
    masks[0, 4:12, 4:12] = 1
    masks[1, 4:12, 4:8] = 1
    rated = torch.ones_like(masks, dtype=torch.bool)
    batch = collate([Example(image, masks, rated, k, k, str(k), "", torch.ones(2)) for k in range(4)])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        terms = model.loss(batch)
        terms["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        readings = model.eval()(image[None], Draws(1)).readings()[:, 0]
    error = torch.stack([(readings != mask).flatten(1).float().mean(dim=1) for mask in masks])  # (raters, heads)
    assert error.amin(dim=1).max() < 0.02, "each rater has a head"


def test_the_loss_is_the_likelihood_that_the_distribution_has(workplace: Path) -> None:
    family = importlib.import_module("my_families").MultipleHypotheses
    torch.manual_seed(0)
    model = family(UNet(1, 2, (4, 8)), heads=3, relaxation=0.0).eval()
    model.bind(DatasetInfo("any", 2, LabelSet.binary("lesion"), (0.0, 1.0)))
    masks = torch.randint(0, 2, (2, 3, 8, 8)).to(torch.uint8)
    rated = torch.rand(2, 3, 8, 8) < 0.7
    images = torch.rand(2, 1, 8, 8)
    batch = collate([Example(images[k], masks[k], rated[k], k, k, str(k), "", torch.ones(2)) for k in range(2)])
    with torch.no_grad():
        expected = -model(images, Draws(1)).log_prob(masks, rated, model.admissible).mean()
        torch.testing.assert_close(model.loss(batch)["loss"], expected)
