"""``probseg split`` over a dataset folder."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from probseg.case import Geometry
from probseg.cli import main
from probseg.importing import SourceCase, SourceReading, write_dataset
from probseg.labels import LabelSet
from probseg.manifest import open_dataset
from probseg.records import DatasetInfo

GRID = Geometry((2, 3, 4), (2.5, 0.5, 0.75))


@pytest.fixture
def folder(tmp_path):
    """Twelve patients at two sites, each with two cases by two raters; a third of them drew nothing."""
    info = DatasetInfo("lungs", 3, LabelSet.binary("opacity"), (-1000.0, 400.0))

    def cases():
        for k in range(24):
            image = np.full(GRID.shape, k, np.int16)
            mask = np.zeros(GRID.shape, np.uint8)
            mask[0, 0, 0] = k // 2 % 3 > 0
            readings = tuple(SourceReading(r, mask, note="=checked") for r in ("A", "B"))
            yield SourceCase(f"c{k:02d}", f"-p{k // 2:02d}", "ns"[k // 2 % 2], image, (), GRID, readings)

    return write_dataset(tmp_path / "d", info, cases())


def error_of(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_splits_are_written_and_nothing_else_changes(folder, capsys):
    with (folder / "cases.csv").open(newline="") as file:
        before = list(csv.DictReader(file))
    assert main(["split", str(folder), "--shares", "0.5", "0.25", "0", "0.25", "--seed", "1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert " ".join(out[0].split()) == "train 6 patients 12 cases, 8 with foreground; sites: n 6, s 6"
    assert out[-1] == f"next: probseg check {folder}"
    with (folder / "cases.csv").open(newline="") as file:
        after = list(csv.DictReader(file))
    assert [{**row, "split": ""} for row in after] == before
    counts = {s: len(open_dataset(folder).select(splits=[s])) for s in ("train", "validation", "test")}
    assert counts == {"train": 12, "validation": 6, "test": 6}


def test_splits_that_are_there_stay_unless_asked(folder, capsys):
    assert main(["split", str(folder)]) == 0
    before = (folder / "cases.csv").read_bytes()
    capsys.readouterr()
    assert main(["split", str(folder), "--seed", "7"]) == 2
    assert "E_OUTPUT_EXISTS" in error_of(capsys)
    assert (folder / "cases.csv").read_bytes() == before
    assert main(["split", str(folder), "--seed", "7", "--overwrite"]) == 0
    assert (folder / "cases.csv").read_bytes() != before


def test_folds_and_sites(folder, capsys):
    tested = []
    for k in range(4):
        assert main(["split", str(folder), "--folds", "4", "--fold", str(k), "--overwrite"]) == 0
        tested += [r.case_id for r in open_dataset(folder).select(splits=["test"]).records]
    assert sorted(tested) == [f"c{k:02d}" for k in range(24)]
    assert main(["split", str(folder), "--leave-site-out", "s", "--overwrite"]) == 0
    assert {r.site for r in open_dataset(folder).select(splits=["test"]).records} == {"s"}
    assert {r.site for r in open_dataset(folder).select(splits=["train", "validation"]).records} == {"n"}


@pytest.mark.parametrize(
    "words",
    [("--fold", "1"), ("--seed", "-1"), ("--leave-site-out", "x"), ("--folds", "99"), ("--folds", "3", "--fold", "3")],
)
def test_wrong_wishes_change_nothing(folder, capsys, words):
    before = (folder / "cases.csv").read_bytes()
    assert main(["split", str(folder), *words]) == 2
    assert "E_USAGE" in error_of(capsys)
    assert (folder / "cases.csv").read_bytes() == before


def test_a_stack_has_no_table_of_cases(capsys):
    assert main(["split", "lidc-sample"]) == 2
    assert "cases.csv" in error_of(capsys)
