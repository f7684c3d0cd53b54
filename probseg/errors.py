"""The one error and the one warning that a user sees.

The command line prints an error as ``error: CODE: message`` and a warning as ``warning: CODE: message``,
one line each. Messages name the thing, the rule, the measured value and the remedy, and never quote a header value.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["ProbsegError", "ProbsegWarning", "gathered_warnings", "held_warnings", "warn"]


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class ProbsegError(Exception):
    """Something a user can put right.

    Args:
        code: stable identifier, ``E_`` and capitals; scripts may rely on it.
        message: one sentence; control characters and line breaks are replaced by spaces.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = _one_line(message)
        super().__init__(code, self.message)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ProbsegWarning(UserWarning):
    """A fault in the input that did not change the result; ``code`` starts with ``W_``."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = _one_line(message)
        super().__init__(f"{code}: {self.message}")


# Of this thread or task alone: `warnings.catch_warnings` of one thread swallows what another warns of.
_gathering: ContextVar[list[ProbsegWarning] | None] = ContextVar("gathering", default=None)


def warn(code: str, message: str) -> None:
    """Warn the user once for this fault; the command line shows it as one line."""
    warning, gathered = ProbsegWarning(code, message), _gathering.get()
    if gathered is None:
        warnings.warn(warning, stacklevel=2)
    else:
        gathered.append(warning)


@contextmanager
def gathered_warnings() -> Iterator[list[ProbsegWarning]]:
    """Gather what this thread warns of within a block, instead of showing it.

    Yields:
        The warnings so far.
    """
    gathered: list[ProbsegWarning] = []
    token = _gathering.set(gathered)
    try:
        yield gathered
    finally:
        _gathering.reset(token)


@contextmanager
def held_warnings() -> Iterator[list[ProbsegWarning]]:
    """Hold the warnings of a block back until it ends well, so that an error stands alone.

    Yields:
        The warnings, filled when the block has ended.
    """
    held: list[ProbsegWarning] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProbsegWarning)
        yield held
        held += [entry.message for entry in caught if isinstance(entry.message, ProbsegWarning)]
    for entry in caught:
        if isinstance(entry.message, ProbsegWarning):
            warnings.warn(entry.message, stacklevel=2)
        else:
            warnings.warn_explicit(entry.message, entry.category, entry.filename, entry.lineno)
