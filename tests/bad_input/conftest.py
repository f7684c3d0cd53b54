"""Runs ``probseg check`` in this process and holds what it says to the rules of bad input."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from probseg.cli import main

_spec = importlib.util.spec_from_file_location("series_writer", Path(__file__).parents[1] / "io" / "conftest.py")
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
write_series = _module.write_series

CANARIES = ("canary", "ottilie", "4711")
_ERROR = re.compile(r"error: (E_[A-Z0-9_]+): \S.*")
_WARNING = re.compile(r"warning: (W_[A-Z0-9_]+): \S.*")


@dataclass(frozen=True)
class Outcome:
    """What a command printed, taken apart."""

    status: int
    error: str | None
    warnings: tuple[str, ...]
    facts: dict[str, Any]
    text: str


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Any command; what it prints must be lines that a script can read, with no word of the patient."""

    def call(*words: object) -> Outcome:
        capfd.readouterr()
        status = main([str(w) for w in words])
        out, err = capfd.readouterr()
        lines = err.splitlines()
        errors = [m[1] for line in lines if (m := _ERROR.fullmatch(line))]
        warnings = tuple(m[1] for line in lines if (m := _WARNING.fullmatch(line)))
        assert len(errors) + len(warnings) == len(lines), err
        assert not any(c in (out + err).lower() for c in CANARIES), "a header value is quoted"
        assert (status == 2 and len(lines) == 1 and not out) if errors else status == 0, (status, out, err)
        return Outcome(status, errors[0] if errors else None, warnings, _parsed(out), out + err)

    return call


def _parsed(out: str) -> dict[str, Any]:
    try:
        return json.loads(out)
    except ValueError:
        return {}


@pytest.fixture
def expect(run: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """``expect(path, "ok")``, ``"E_CODE"`` or ``"W_CODE"``; words in between are alternatives."""

    def call(path: Path, wanted: str, *words: object) -> Outcome:
        outcome = run("check", path, "--json", *words)
        said = outcome.error or " ".join(dict.fromkeys(outcome.warnings)) or "ok"
        assert said in wanted.split(), f"{said} instead of {wanted}: {outcome.text}"
        assert outcome.error or outcome.facts["warnings"] == list(outcome.warnings)
        return outcome

    return call


@pytest.fixture
def hu() -> np.ndarray:
    """Twelve axial slices that no flip or swap leaves as they are."""
    return np.random.default_rng(11).integers(-1024, 2000, (12, 9, 11)).astype(np.int16)
