"""What happens to a dataset without images: agreement is measured, and everything that needs an image says so."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from probseg.case import Geometry
from probseg.cli import main
from probseg.importing import SourceCase, SourceReading, write_dataset
from probseg.importing.lidc.cases import INFO


@pytest.fixture
def dataset(tmp_path):
    grid = Geometry((3, 6, 6), (2.0, 0.5, 0.5))
    masks = [np.zeros(grid.shape, np.uint8) for _ in range(2)]
    masks[0][1, 1:3, 1:3] = 1
    masks[1][1, 1:3, 1:4] = 1
    readings = tuple(SourceReading(f"reading-{k}", m) for k, m in enumerate(masks, start=1))
    info = type(INFO)(**{**vars(INFO), "annotations_only": True})
    write_dataset(tmp_path / "d", info, [SourceCase("c", "p", "", None, (), grid, readings)])
    assert not (tmp_path / "d" / "images").exists()
    assert yaml.safe_load((tmp_path / "d" / "dataset.yaml").read_text())["annotations_only"] is True
    return tmp_path / "d"


def test_agreement_is_measured(dataset, tmp_path, capsys):
    assert main(["agreement", str(dataset), "--out", str(tmp_path / "a")]) == 0
    out = capsys.readouterr().out
    assert "mean Dice of 0.800" in out and "no model can be fitted" in out


def test_check_passes(dataset, capsys):
    assert main(["check", str(dataset)]) == 0


def test_what_needs_an_image_says_so(dataset, tmp_path, capsys, repository):
    configs = repository / "experiments" / "lidc_sample"
    fit = ["fit", f"--config={configs / 'data.yaml'}", f"--config={configs / 'deterministic.yaml'}"]
    for command in (["prepare", str(dataset)], [*fit, f"--data.root={dataset}", f"--out={tmp_path / 'run'}"]):
        assert main(command) != 0
        assert "E_NO_IMAGE" in capsys.readouterr().err, command
