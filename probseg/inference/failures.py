"""What a process has instead of a scan: why it could not be predicted, in one line, or that none is left."""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from probseg.case import Case
from probseg.errors import ProbsegError

__all__ = ["DEBUG", "NothingLeft", "ScanFailure", "Turn", "failure_of"]

DEBUG = "PROBSEG_DEBUG"
"""Environment variable; where it is set, an unexpected exception is printed with its traceback."""

_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class ScanFailure:
    """A scan that could not be read or predicted, and why.

    Attributes:
        case_id: of the scan.
        error: what the user is told.
        exception: name of the type of an exception that nobody expected.
    """

    case_id: str
    error: ProbsegError
    exception: str | None = None


@dataclass(frozen=True)
class NothingLeft:
    """Instead of a scan: other processes left nothing to do."""


Turn = Case | ScanFailure | NothingLeft
"""What a process gets when it asks for a scan."""


def failure_of(case_id: str, error: Exception) -> ScanFailure:
    """The failure of one scan, so that the rest go on.

    The text of an unexpected exception may hold what a header says, so it is told by type and place alone.
    """
    if isinstance(error, ProbsegError):
        return ScanFailure(case_id, error)
    name = type(error).__name__
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
    ):
        told = ProbsegError(
            "E_OUT_OF_MEMORY",
            f"scan '{case_id}' needs more memory than there is ({name}); lower --batch-size or --readings, crop it, or "
            "predict it on a larger machine",
        )
        return ScanFailure(case_id, told, name)
    if os.environ.get(DEBUG):
        traceback.print_exception(error, file=sys.stderr)
    told = ProbsegError(
        "E_UNEXPECTED", f"scan '{case_id}' failed by {name} in {_place(error)}; {DEBUG}=1 shows the traceback"
    )
    return ScanFailure(case_id, told, name)


def _place(error: Exception) -> str:
    """The innermost line of this package that the exception went through."""
    package = Path(__file__).parents[1]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(package)]
    frame = (frames or traceback.extract_tb(error.__traceback__))[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}"
