from __future__ import annotations

from pathlib import Path

import pytest

from probseg.cli import main
from probseg.store import STORE


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepare") / "ct"
    assert main(["import", "synthetic", "--out", str(folder), "--cases", "2", "--shape", "4", "32", "32"]) == 0
    return folder


@pytest.mark.journey
def test_prepare_twice(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", str(root), "--workers", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith(f"{root / STORE}: 2 cases converted, 0 up to date, 0 removed; images ")
    assert lines[-1].startswith("next: probseg fit ")
    assert main(["prepare", str(root)]) == 0
    assert "0 cases converted, 2 up to date" in capsys.readouterr().out
    assert main(["prepare", str(root), "--check"]) == 0
    assert "0 cases converted, 2 up to date" in capsys.readouterr().out


def test_a_store_elsewhere_is_named_in_the_next_command(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", str(root), "--out", str(tmp_path / "fast"), "--workers", "1"]) == 0
    assert f"--data.store={tmp_path / 'fast'}" in capsys.readouterr().out
    assert len(list((tmp_path / "fast" / "cases").iterdir())) == 2


def test_what_cannot_be_prepared_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "lidc-sample"]) == 2
    assert capsys.readouterr().err.startswith("error: E_NO_STORE: ")
    assert main(["prepare", str(root), "--workers", "0"]) == 2
    assert capsys.readouterr().err == "error: E_SCHEMA: workers must be at least 1, but is 0\n"
