"""Which processes work in a folder at present, told by a file each that its process touches again and again.

Processes of one machine know at once who of them is gone. Those of different machines share nothing but the folder, so
there a process counts as gone when its file was not touched for `STALE_S`.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probseg.errors import ProbsegError

__all__ = ["BEAT_S", "STALE_S", "Presence", "Process", "this_machine"]

BEAT_S = 20.0
STALE_S = 600.0
_SUFFIX = ".process"


@dataclass(frozen=True)
class Process:
    """A process that works in the folder.

    Attributes:
        token: its name there, unlike any other's.
        about: what it says of its work, in plain types.
    """

    token: str
    about: Mapping[str, Any]


class Presence:
    """This process in a folder, from `enter` to `leave`.

    Args:
        folder: made if need be; what lies in it belongs to the processes.
        about: what others may know of the work, in plain types.
        stale_s: after how many seconds without a sign a process of another machine counts as gone.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], stale_s: float = STALE_S) -> None:
        self.folder = folder
        self.about = dict(about)
        self.stale_s = stale_s
        self.token = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.since_ns = 0  # by the clock of the file system, as all times here
        self._left = threading.Event()

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.token}{_SUFFIX}"

    def enter(self) -> None:
        """Be seen by the others, with a thread that gives signs of life.

        Raises:
            ProbsegError: E_NOT_WRITABLE where the folder cannot be written.
        """
        host, started = this_machine(), _start_of(os.getpid())
        text = json.dumps({"host": host, "pid": os.getpid(), "started": started, "about": self.about})
        for attempt in range(10):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                temporary = self._file.with_suffix(".entering")
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(self._file)
                break
            except FileNotFoundError as error:  # the last of the others has just removed the folder
                if attempt == 9:
                    raise _not_writable(self.folder, error) from error
            except OSError as error:
                raise _not_writable(self.folder, error) from error
        self.since_ns = self._file.stat().st_mtime_ns
        threading.Thread(target=self._beat, name="probseg-presence", daemon=True).start()

    def leave(self) -> None:
        """Be gone; claims of this process are void."""
        self._left.set()
        self._file.unlink(missing_ok=True)

    def is_alive(self, token: str) -> bool:
        """Whether the process of this token is there and gave a sign of life."""
        if token == self.token:
            return not self._left.is_set()
        path = self.folder / f"{token}{_SUFFIX}"
        try:
            said, seen_ns = json.loads(path.read_text(encoding="utf-8")), path.stat().st_mtime_ns
            host, pid, started = said["host"], int(said["pid"]), said["started"]
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError):  # not what we write; leave it until it is old
            return self.is_fresh(path)
        if host == this_machine():
            return _start_of(pid) == started
        return self.now_ns() - seen_ns < self.stale_s * 1e9

    def others(self) -> list[Process]:
        """The other processes that are alive."""
        found = []
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            token = path.name.removesuffix(_SUFFIX)
            if token == self.token or not self.is_alive(token):
                continue
            try:
                about = json.loads(path.read_text(encoding="utf-8"))["about"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            found.append(Process(token, about))
        return found

    def is_fresh(self, path: Path) -> bool:
        """Whether a file was touched within the time that a process may be silent."""
        try:
            return self.now_ns() - path.stat().st_mtime_ns < self.stale_s * 1e9
        except OSError:
            return False

    def now_ns(self) -> int:
        """The present by the clock of the file system; that of another machine may go otherwise."""
        try:
            os.utime(self._file)
            return self._file.stat().st_mtime_ns
        except OSError:
            return self.since_ns

    def _beat(self) -> None:
        while not self._left.wait(BEAT_S):
            self.now_ns()


def this_machine() -> str:
    """A name for this machine, of this boot and this space of process numbers; containers may share the rest."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()


def _start_of(pid: int) -> str | None:
    """When a process started, for its number may be given again; None where it is gone."""
    try:
        # After the name in brackets: state, parent, ...; the 20th of these is the start in ticks since the boot.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:  # it is there, but not ours
        pass
    return "unknown"


def _not_writable(folder: Path, error: OSError) -> ProbsegError:
    return ProbsegError("E_NOT_WRITABLE", f"'{folder.parent}' cannot be written: {error.strerror or error}")
