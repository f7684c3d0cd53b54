"""Who of several processes does which piece of work, told by files in a folder that all of them see.

A claim is a file that exactly one process can make. Its owner writes into it how the work ended. The claim of a process
that is gone is never removed, which two others might do at once, but followed by one of the next number, which again
exactly one can make.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probseg.inference.presence import Presence

__all__ = ["Claim", "Claims"]

_SUFFIX = ".claim"
_HALF_WRITTEN_S = 10.0


@dataclass(frozen=True)
class Claim:
    """A piece of work and who has it.

    Attributes:
        name: of the work.
        number: how many claims on it there were before, and one.
        owner: token of the process.
        outcome: how it ended, in plain types; None while it is at work.
    """

    name: str
    number: int
    owner: str
    outcome: Mapping[str, Any] | None = None
    written_ns: int = field(default=0, compare=False)


class Claims:
    """Claims on pieces of work in the folder of a `Presence`."""

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self.folder = presence.folder

    def take(self, name: str) -> Claim | None:
        """Claim a piece of work; None where another is at it, or it was settled since this process came."""
        number, found = self._newest(name)
        while True:
            if found is not None and self._holds(found):
                return None
            number += 1
            claim = Claim(name, number, self.presence.token)
            if self._make(claim):
                return claim
            found = self._read(name, number)

    def settle(self, claim: Claim, outcome: Mapping[str, Any]) -> None:
        """Say how the work of a claim of this process ended."""
        temporary = self.folder / f"{self.presence.token}.settling"
        temporary.write_text(_text(claim, outcome), encoding="utf-8")
        temporary.replace(self._path(claim.name, claim.number))

    def is_mine(self, claim: Claim) -> bool:
        """Whether nobody has taken the work over, having thought this process gone."""
        number, found = self._newest(claim.name)
        return number == claim.number and found is not None and found.owner == self.presence.token

    def standing(self, name: str) -> Claim | None:
        """The claim that holds at present: of a process at work, or settled; None where anybody may take it."""
        _, found = self._newest(name)
        return found if found is not None and self._holds(found) else None

    def _holds(self, claim: Claim) -> bool:
        if not claim.owner:
            return self.presence.now_ns() - claim.written_ns < _HALF_WRITTEN_S * 1e9
        if self.presence.is_alive(claim.owner):
            return True
        # Of one who is gone, what it settled while this process was there; what is older may have changed meanwhile.
        return claim.outcome is not None and claim.written_ns >= self.presence.since_ns

    def _newest(self, name: str) -> tuple[int, Claim | None]:
        number, found = 0, None
        while (following := self._read(name, number + 1)) is not None:
            number, found = number + 1, following
        return number, found

    def _make(self, claim: Claim) -> bool:
        """Whether this process is the one that made the file; it appears with its content, or not at all."""
        temporary = self.folder / f"{self.presence.token}.claiming"
        text, path = _text(claim, None), self._path(claim.name, claim.number)
        temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(text)
            except FileExistsError:
                pass
        finally:
            temporary.unlink(missing_ok=True)
        # A network file system may have made the link and lost its answer, so the content decides.
        made = self._read(claim.name, claim.number)
        return made is not None and made.owner == self.presence.token

    def _read(self, name: str, number: int) -> Claim | None:
        path = self._path(name, number)
        try:
            written = path.stat().st_mtime_ns
            said = json.loads(path.read_text(encoding="utf-8"))
            return Claim(name, number, str(said["owner"]), said["outcome"], written)
        except FileNotFoundError:
            return None
        except (
            ValueError,
            KeyError,
            TypeError,
        ):  # half written, or cut off by a loss of power: nobody's once it is old
            return Claim(name, number, "", None, written)

    def _path(self, name: str, number: int) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.{number}{_SUFFIX}"


def _text(claim: Claim, outcome: Mapping[str, Any] | None) -> str:
    return json.dumps({"name": claim.name, "owner": claim.owner, "outcome": outcome})
