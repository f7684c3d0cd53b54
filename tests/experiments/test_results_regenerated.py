"""Every page of results in ``experiments`` is what its table script makes of the records of the runs, byte for byte."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FOLDERS = sorted(page.parent.relative_to(EXPERIMENTS).as_posix() for page in EXPERIMENTS.rglob("results.md"))
RECORDS = sorted(path for path in EXPERIMENTS.rglob("records/**/*") if path.is_file())


@pytest.mark.parametrize("name", FOLDERS)
def test_no_figure_was_typed(
    name: str, script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = EXPERIMENTS / name
    records = folder / "records"
    assert records.is_dir(), f"experiments/{name} has results but no records; see experiments/keep_records.py"
    monkeypatch.setattr(sys, "argv", ["table.py", str(records), str(tmp_path)])
    # Most of the time of a paired difference goes to its p-value, which no page shows.
    monkeypatch.setattr("probseg.analysis.paired.sign_flip_p_value", lambda *_: math.nan)
    script(f"{name}/table").main()
    for file in ("results.md", "results.csv"):
        new, kept = ((place / file).read_text(encoding="utf-8") for place in (tmp_path, folder))
        assert new == kept, f"python experiments/{name}/table.py writes another {file} than is kept"


def test_results_are_found() -> None:
    assert {"lidc", "shift", "synthetic"} <= set(FOLDERS) and RECORDS


def test_records_name_nobodys_folders_and_are_small(script: Callable[[str], ModuleType]) -> None:
    absolute = script("keep_records").ABSOLUTE
    found = {str(path): absolute.findall(path.read_text(encoding="utf-8")) for path in RECORDS}
    assert not {path: paths for path, paths in found.items() if paths}
    for name in FOLDERS:
        size = sum(path.stat().st_size for path in RECORDS if path.is_relative_to(EXPERIMENTS / name))
        assert size < 600_000, f"the records of {name} have {size} bytes; keep fewer figures"
