from __future__ import annotations

import pytest
import torch

from probseg.errors import ProbsegError
from probseg.inference.failures import DEBUG, failure_of


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_want_of_memory_has_a_remedy(error: Exception):
    failure = failure_of("ct", raised(error))
    assert failure.error.code == "E_OUT_OF_MEMORY" and "--batch-size" in failure.error.message
    assert failure.exception == type(error).__name__


def test_a_known_fault_is_told_as_it_is():
    error = ProbsegError("E_NDIM", "x")
    assert failure_of("ct", error).error is error and failure_of("ct", error).exception is None


def test_the_unexpected_is_told_by_type_and_place_but_not_by_what_it_quotes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(DEBUG, raising=False)
    failure = failure_of("ct", raised(KeyError("Ottilie^Canary")))
    assert failure.error.code == "E_UNEXPECTED" and failure.exception == "KeyError"
    assert "KeyError in test_failures.py, line" in str(failure.error) and "Canary" not in str(failure.error)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(DEBUG, "1")
    failure_of("ct", raised(KeyError("x")))
    assert capsys.readouterr().err.startswith("Traceback")
