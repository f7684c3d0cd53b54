"""A progress bar on a terminal, and silence everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["followed"]

Item = TypeVar("Item")


def followed(items: Iterable[Item], total: int, what: str = "cases") -> Iterator[Item]:
    """The same items, with a bar on stderr that goes away at the end."""
    from rich.console import Console
    from rich.progress import track

    quiet = not sys.stderr.isatty()
    yield from track(items, what, total, console=Console(stderr=True), disable=quiet, transient=True)
