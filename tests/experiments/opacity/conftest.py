"""Where the experiment lies."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folder(repository: Path) -> Path:
    return repository / "experiments" / "opacity"
