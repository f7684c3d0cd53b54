"""``metrics.csv``: rows at once, new columns in the rows before, cut back where a training goes on."""

from __future__ import annotations

import pytest
import torch

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.training.metrics_table import MetricsTable


def test_rows_are_there_at_once_and_new_columns_go_through_all(tmp_path):
    table = MetricsTable(tmp_path / "run")
    table.log_metrics({"train/loss": torch.tensor(0.5), "epoch": 0}, step=0)
    path = tmp_path / "run" / "metrics.csv"
    assert path.read_bytes() == b"epoch,step,train/loss\r\n0,0,0.5\r\n"
    table.log_metrics({"train/loss": 0.25, "epoch": 0}, step=9)
    table.log_metrics({"a/first": 2, "epoch": 1}, step=9)
    assert path.read_text().split() == ["a/first,epoch,step,train/loss", ",0,0,0.5", ",0,9,0.25", "2.0,1,9,"]
    assert table.rows == 3


def test_a_training_that_goes_on_continues_the_rows_of_its_checkpoint(tmp_path):
    whole, before = MetricsTable(tmp_path / "whole"), MetricsTable(tmp_path / "cut")
    rows = [({"a": 1.0, "epoch": 0}, 0), ({"a": 2.0, "epoch": 0}, 1), ({"b": 3.0, "epoch": 1}, 1)]
    for table in (whole, before):
        for row, step in rows:
            table.log_metrics(row, step)
    path = tmp_path / "cut" / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-4])  # the disk was full in the middle of a row
    after = MetricsTable(tmp_path / "cut")
    after.keep(2)
    assert path.read_text().split() == ["a,epoch,step", "1.0,0,0", "2.0,0,1"]
    after.log_metrics(*rows[2])
    assert path.read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


def test_rows_that_are_lost_are_told_and_a_new_training_has_none(tmp_path):
    table = MetricsTable(tmp_path)
    table.log_metrics({"a": 1.0}, 0)
    with pytest.warns(ProbsegWarning, match="W_METRICS: .* has lost 2 rows"):
        table.keep(3)
    assert table.rows == 1
    table.keep(0)
    assert not (tmp_path / "metrics.csv").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProbsegError, match="E_NOT_WRITABLE"):
        MetricsTable(tmp_path / "file").log_metrics({"a": 1.0}, 0)
