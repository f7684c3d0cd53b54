"""Splits of slices in the forms that releases may have."""

from __future__ import annotations

import json

import pytest

from probseg.errors import ProbsegError
from probseg.importing.public.slice_splits import read_slice_splits

EXPECTED = ["train", "validation", "test", "train", ""]


@pytest.mark.parametrize(
    "data",
    [
        {"train": [0, 3], "val": [1], "test": [2]},
        {"train": [3, 0], "validation": ["1"], "Test": [2], "all": [0, 1, 2, 3]},
        {"splits": {"training": [0, 3], "valid": [1], "testing": [2]}},
        {"0": "train", "1": "val", "2": "test", "3": "train"},
    ],
)
def test_what_is_understood(tmp_path, data):
    (tmp_path / "s.json").write_text(json.dumps(data))
    assert read_slice_splits(tmp_path / "s.json", 5) == EXPECTED


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        ([[0], [1]], "E_SCHEMA", "no mapping"),
        ({}, "E_SCHEMA", "no slice"),
        ({"train": [0], "fold_1": {"val": [1]}}, "E_SCHEMA", "'fold_1'"),
        ({"train": [5]}, "E_SCHEMA", "slice 5.*from 0 to 4"),
        ({"train": [-1]}, "E_SCHEMA", "slice -1"),
        ({"train": [0.5]}, "E_SCHEMA", "no whole number"),
        ({"train": [True]}, "E_SCHEMA", "no whole number"),
        ({"train": [0, 1], "val": [1]}, "E_SPLIT_LEAK", "slice 1 twice"),
        ("{", "E_PARSE", "no(t)? JSON"),
    ],
)
def test_what_is_refused(tmp_path, data, code, words):
    (tmp_path / "s.json").write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(ProbsegError, match=f"{code}: .*s.json.*{words}" if code == "E_PARSE" else f"{code}.*{words}"):
        read_slice_splits(tmp_path / "s.json", 5)
