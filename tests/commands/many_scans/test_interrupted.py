"""Scans that fail, disks that fill up and signals: what is told, and that the same command goes on."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from probseg.cli import main
from probseg.errors import ProbsegError
from probseg.inference import predictor, scan_files
from probseg.io import nifti

pytestmark = pytest.mark.journey


def test_scans_that_fail_are_told_and_tried_again_the_next_time(
    names: Callable[..., Any],
    manifest: Callable[..., Any],
    run: Path,
    scans: list[Path],
    without_pictures: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file that cannot be read, one whose reading nobody expected to fail, want of memory, and a bug."""
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"\x1f\x8bnothing")
    real, real_read = predictor.predict_scan, nifti.read
    a, b, c, d = names(scans)[:4]

    def predict_scan(model: Any, case: Any, *rest: Any) -> Any:
        if case.case_id == a:
            raise MemoryError
        if case.case_id == b:
            raise ZeroDivisionError("of patient Ottilie^Canary")
        return real(model, case, *rest)

    def read(path: Any, *rest: Any) -> Any:
        if c in str(path):
            raise UnicodeError("of patient Ottilie^Canary")
        return real_read(path, *rest)

    words = ["predict", str(run), str(bad), *map(str, scans[:4]), "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr(predictor, "predict_scan", predict_scan)
        patch.setattr(nifti, "read", read)
        assert main(words) == 2
    printed = capsys.readouterr()
    codes = [line.split(": ")[1] for line in printed.err.splitlines()]
    assert codes[1:] == ["E_OUT_OF_MEMORY", "E_UNEXPECTED", "E_UNEXPECTED"] and len(codes) == 4
    assert "ZeroDivisionError" in printed.err and "Canary" not in printed.err + printed.out
    assert "4 of 5 scans failed" in printed.out
    failed = manifest(tmp_path / "out")["failed"]
    assert [f["case_id"] for f in failed] == ["bad", a, b, c] and "Canary" not in json.dumps(failed)
    assert [f.get("exception") for f in failed] == [None, "MemoryError", "ZeroDivisionError", "UnicodeError"]
    assert [s["case_id"] for s in manifest(tmp_path / "out")["scans"]] == [d]
    shutil.copy(scans[5], bad)
    assert main(words) == 0 and manifest(tmp_path / "out")["failed"] == []


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(
    tree: Callable[..., Any],
    words: list[str],
    few: list[Path],
    seen: list[str],
    quiet: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real, written = nifti.write, []

    def write(path: Any, *rest: Any) -> None:
        written.append(path)
        if len(written) == 20:
            raise ProbsegError("E_NOT_WRITABLE", f"'{path}' cannot be written: No space left on device")
        real(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(nifti, "write", write)
        assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: E_NOT_WRITABLE: ") and len(seen) == 4
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert main(words) == 0
    assert tree(tmp_path / "out") == quiet and len(seen) == len(few) + 1


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """What a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_stopped_it_ends_at_once_and_goes_on_later(
    tree: Callable[..., Any],
    words: list[str],
    quiet: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_pictures: None,
    heeding_ctrl_c: None,
    capsys: pytest.CaptureFixture[str],
    error: type[BaseException],
) -> None:
    """Ctrl-C, and SIGTERM while a scan is predicted."""
    real, number = predictor.predict_scan, []

    def predict_scan(*rest: Any) -> Any:
        number.append(0)
        if len(number) == 3:
            signal.raise_signal(signal.SIGTERM if error is SystemExit else signal.SIGINT)
        return real(*rest)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(predictor, "predict_scan", predict_scan)
        if error is SystemExit:
            with pytest.raises(SystemExit) as stopped:
                main(words)
            assert stopped.value.code == 128 + signal.SIGTERM
        else:
            assert main(words) == 130
    assert signal.getsignal(signal.SIGTERM) == before and len(capsys.readouterr().err.splitlines()) == 1
    assert len(list((tmp_path / "out").glob("*/summary.json"))) == 2
    assert main(words) == 0 and tree(tmp_path / "out") == quiet


def test_a_job_whose_time_is_up_is_queued_again(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_pictures: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SIGUSR1 to an element of an array of SLURM."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, value in {"JOB_ID": "12", "ARRAY_JOB_ID": "11", "ARRAY_TASK_ID": "3", "NTASKS": "4"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    real = predictor.predict_scan

    def predict_scan(*rest: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return real(*rest)

    with monkeypatch.context() as patch:
        patch.setattr(predictor, "predict_scan", predict_scan)
        with pytest.raises(SystemExit) as stopped:
            main(words)
    assert stopped.value.code == 128 + signal.SIGUSR1
    assert (tmp_path / "asked").read_text() == "requeue 11_3\n"
    assert main(words) == 0 and capsys.readouterr().err.count("\n") == 1


def test_a_run_that_replaces_goes_on_replacing_where_it_was_stopped(
    tree: Callable[..., Any],
    words: list[str],
    few: list[Path],
    seen: list[str],
    quiet: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main([*words, "--seed", "3"]) == 0
    real = scan_files.write_json

    def stop(*rest: Any) -> None:
        real(*rest)
        if len(seen) == len(few) + 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scan_files, "write_json", stop)
        assert main([*words, "--overwrite"]) == 130
    seen.clear()
    assert main([*words, "--overwrite"]) == 0
    assert len(seen) == len(few) - 2 and tree(tmp_path / "out") == quiet


def test_devices_that_are_not_there_or_not_possible_are_one_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*words, "--devices", "0"]) == 2
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*words, "--devices", "3"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("error: E_USAGE: ") for line in lines)
    assert not (tmp_path / "out").exists()
