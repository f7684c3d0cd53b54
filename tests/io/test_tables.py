import csv
import math

import numpy as np
import pytest

from probseg.io.tables import write_csv


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_numbers_and_gaps(tmp_path):
    rows = [("a", 1 / 3, 3, None), ("b", math.nan, np.float32(0.5), np.int64(7)), ("ü,\n", 1e-9, True, "")]
    write_csv(tmp_path / "t.csv", ("k", "x", "n", "v"), rows)
    assert read(tmp_path / "t.csv") == [
        ["k", "x", "n", "v"],
        ["a", "0.333333", "3", ""],
        ["b", "", "0.5", "7"],
        ["ü,\n", "1e-09", "True", ""],
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", " =", "\r="])
def test_texts_that_a_spreadsheet_would_run(tmp_path, start):
    write_csv(tmp_path / "t.csv", ("k", "x"), [(f"{start}1+1", -2.5)])
    shown = start.replace("\r", " ")
    assert read(tmp_path / "t.csv") == [["k", "x"], [f"'{shown}1+1", "-2.5"]]


def test_all_or_nothing(tmp_path):
    write_csv(tmp_path / "t.csv", ("k",), [("old",)])
    with pytest.raises(ValueError, match="2 cells"):
        write_csv(tmp_path / "t.csv", ("k",), [("new",), ("too", "many")])
    assert read(tmp_path / "t.csv") == [["k"], ["old"]]
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
