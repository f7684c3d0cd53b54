from __future__ import annotations

import io

import pytest
from rich.console import Console

from probseg.inference import progress
from probseg.inference.progress import ScanProgress, time_left_s


def test_the_time_left_by_hand():
    assert time_left_s(60, 1.5, 8.5) == 340
    assert time_left_s(5, 0, 10) is None


def test_a_terminal_sees_scans_slices_and_time(monkeypatch: pytest.MonkeyPatch):
    shown, clock = io.StringIO(), iter([100.0, 100.0, 160.0, 190.0])
    counts = iter([(3, 2), (4, 2)])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    monkeypatch.setattr("rich.console.Console", lambda **_: Console(file=shown, force_terminal=True, width=100))
    with ScanProgress(10, lambda: next(counts), quiet=False) as bar:
        fields = bar._bar.tasks[0].fields
        bar.slices("a", 0, 4)  # 2 were there, 3 done by others: this is the sixth
        assert (fields["scans"], fields["slices"], fields["left"]) == ("scan 6 of 10", "slice 0 of 4", "")
        bar.slices("a", 2, 4)  # half a scan took 60 s, four and a half are left
        assert fields["left"] == "0:09:00 left" and bar._bar.tasks[0].completed == 5.5
        bar.slices("b", 2, 4)  # a scan and a half took 90 s, three and a half are left
        assert (fields["scans"], fields["left"]) == ("scan 7 of 10", "0:03:30 left")
    assert "scan 7 of 10" in shown.getvalue()


def test_without_a_terminal_nothing_is_shown_or_counted(capsys: pytest.CaptureFixture[str]):
    def count() -> tuple[int, int]:
        raise AssertionError("costs reading many files")

    with ScanProgress(10, count) as bar:
        bar.slices("a", 1, 2)
    assert capsys.readouterr() == ("", "")
