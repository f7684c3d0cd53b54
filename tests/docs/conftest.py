"""What the tests of the documentation share: the modules that build the site, which are in no package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def building(repository: Path) -> Callable[[str], ModuleType]:
    """A module of ``docs/building`` by its name."""

    def load(name: str) -> ModuleType:
        file = repository / "docs" / "building" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"docs_{name}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def pages(repository: Path) -> dict[str, str]:
    """Text of every page by its path below ``docs/``."""
    docs = repository / "docs"
    return {p.relative_to(docs).as_posix(): p.read_text(encoding="utf-8") for p in sorted(docs.rglob("*.md"))}
