"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """A sound thing in figures.

    Attributes:
        facts: plain types, for ``--json``.
        lines: the same for people, without the warnings.
        next: a sensible next command.
    """

    facts: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    next: str = ""
