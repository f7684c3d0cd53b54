"""The harness of the benchmarks: what it times, when, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest


@pytest.fixture
def timing(repository, monkeypatch):
    specification = importlib.util.spec_from_file_location("timing", repository / "benchmarks" / "timing.py")
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "timing", module)
    specification.loader.exec_module(module)
    return module


def test_both_run_once_unmeasured_and_then_take_turns(timing):
    calls = []
    result = timing.compare("j", lambda: calls.append("a"), lambda: calls.append("b"), "peer", lambda a, b: True, 5)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab" + "ba" + "ab"
    assert len(result.ours_s) == len(result.peer_s) == len(result.ratios) == 5


def test_ratio_is_the_median_of_the_rounds_with_least_and_greatest(timing):
    found = timing.Comparison("j", "peer", [1.0, 2.0, 1.0], [3.0, 2.0, 5.0], True, {"memory": 1.5}).to_dict()
    assert (found["ratio"], found["low"], found["high"]) == (3.0, 1.0, 5.0)
    assert found["peer"] == "peer" and found["equal"] is True and found["memory"] == 1.5


def test_fewer_than_five_rounds_are_no_median(timing):
    with pytest.raises(ValueError, match="five"):
        timing.compare("j", int, int, "peer", np.array_equal, 4)


def test_the_command_writes_json_and_fails_where_results_differ(timing, tmp_path, monkeypatch, capsys):
    def same():
        yield timing.compare("same", lambda: 1, lambda: 1, "peer", np.array_equal)

    def different():
        yield timing.compare("different", lambda: 1, lambda: 2, "peer", np.array_equal)

    monkeypatch.setattr(sys, "argv", ["x", "--json", str(tmp_path / "f.json")])
    assert timing.main((same, different), "") == 1
    found = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert (found["same"]["equal"], found["different"]["equal"]) == (True, False)
    assert "different: ours" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["x", "--job", "same"])
    assert timing.main((same, different), "") == 0
