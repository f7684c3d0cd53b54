"""Tasks in several processes find what the caller finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from probseg.errors import ProbsegError
from probseg.parallel import spread


def read(name: str) -> str:
    return Path(name).read_text(encoding="utf-8")


def test_processes_that_were_there_before_work_in_the_folder_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        for name in "abcd":
            (tmp_path / folder / name).write_text(folder + name, encoding="utf-8")
        monkeypatch.chdir(tmp_path / folder)
        assert list(spread(read, [(n,) for n in "abcd"], 2)) == [folder + n for n in "abcd"]


def test_no_jobs_is_an_error():
    with pytest.raises(ProbsegError, match="E_ARGUMENT: jobs must be"):
        list(spread(read, [], 0))
