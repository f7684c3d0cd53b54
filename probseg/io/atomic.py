"""Files that are either whole or not there: written beside the target, synced, then renamed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from probseg.errors import ProbsegError

__all__ = ["replacing", "write_bytes", "write_text"]


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """A temporary path beside ``target`` with the same suffixes; becomes ``target`` when the block ends well.

    Raises:
        ProbsegError: E_NOT_WRITABLE where the folder cannot be written.
    """
    target = Path(target)
    # a digest for the name: a long name must neither outgrow the file system's limit nor fall together with the target
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
    temporary = target.with_name(f".tmp{os.getpid()}-{digest}{''.join(target.suffixes)[-12:]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(target, error) from error
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise _not_writable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _not_writable(target: Path, error: OSError) -> ProbsegError:
    return ProbsegError("E_NOT_WRITABLE", f"'{target}' cannot be written: {error.strerror or error}")


def write_bytes(target: str | Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with replacing(target) as path:
        path.write_bytes(data)


def write_text(target: str | Path, text: str) -> None:
    """Write a whole UTF-8 file atomically, line ends as given."""
    write_bytes(target, text.encode("utf-8"))
