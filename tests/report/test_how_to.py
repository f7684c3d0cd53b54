"""The page on reports: its Python, cut from it, runs on folders that the real commands made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_the_python_of_the_page_runs(
    repository: Path, study: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (repository / "docs" / "how-to" / "report.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "agreement").symlink_to(study["agreement"])
    monkeypatch.chdir(tmp_path)
    exec(compile(block.replace("rater-2", "rater-4"), "report.md", "exec"), {})  # rater-2 has another name here
    assert (tmp_path / "bland-altman.pdf").read_bytes().startswith(b"%PDF")
