"""What the tests of experiments share: their scripts, which are in no package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def script(repository: Path) -> Callable[[str], ModuleType]:
    """A script of ``experiments`` by its path without suffix; what it imports from beside itself is the same module."""

    def load(name: str) -> ModuleType:
        file = repository / "experiments" / f"{name}.py"
        known = f"experiments_{name.replace('/', '_')}"
        beside = sys.modules.get(file.stem)
        if beside is not None and Path(str(beside.__file__)) == file:
            return beside
        if known not in sys.modules:
            spec = importlib.util.spec_from_file_location(known, file)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[known] = module
            spec.loader.exec_module(module)
        return sys.modules[known]

    return load
