"""The scripts of the experiment as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="package")
def folder(repository: Path) -> Path:
    return repository / "experiments" / "opacity"


@pytest.fixture(scope="package")
def script(folder: Path):
    """A script of the folder by its name, as a module under a name of its own."""

    def load(name: str) -> ModuleType:
        known = f"opacity_{name}"
        if known not in sys.modules:
            spec = importlib.util.spec_from_file_location(known, folder / f"{name}.py")
            assert spec is not None and spec.loader is not None
            sys.modules[known] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[known])
        return sys.modules[known]

    return load
