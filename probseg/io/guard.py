"""What must be true of a file before it is opened, and how large a volume may be."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from probseg.errors import ProbsegError

__all__ = ["ZIP_FAULTS", "check_size", "file_size", "is_folder", "is_nifti_name", "is_nrrd_name", "max_bytes"]

_DEFAULT_MAX_BYTES = 4 * 2**30

# What the standard library raises on damaged archives, names and compressed members among it.
ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    RuntimeError,
)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except PermissionError as error:
        raise ProbsegError("E_NOT_READABLE", f"'{path}' may not be read; correct its permissions") from error
    except (OSError, ValueError) as error:  # absent, dangling or looping link, name too long, NUL in the name
        raise ProbsegError("E_FILE_MISSING", f"there is no file or folder '{path}'; check the path") from error


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; raises E_FILE_MISSING where there is nothing."""
    return stat.S_ISDIR(_status(path).st_mode)


def is_nifti_name(path: Path) -> bool:
    """Whether the name ends in .nii or .nii.gz, in any letter case."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def is_nrrd_name(path: Path) -> bool:
    """Whether the name ends in .nrrd, or .nhdr (a header alone), in any letter case."""
    return path.name.lower().endswith((".nrrd", ".nhdr"))


def file_size(path: Path) -> int:
    """Size in bytes of a regular file with something in it.

    Links are followed. A pipe or a device is refused because opening or reading it may never end.

    Raises:
        ProbsegError: E_FILE_MISSING, E_NOT_READABLE, E_IS_DIRECTORY, E_NOT_REGULAR or E_EMPTY_FILE.
    """
    status = _status(path)
    if stat.S_ISDIR(status.st_mode):
        raise ProbsegError("E_IS_DIRECTORY", f"'{path}' is a folder, but a file is needed here")
    if not stat.S_ISREG(status.st_mode):
        raise ProbsegError("E_NOT_REGULAR", f"'{path}' is a pipe or a device, but a regular file is needed here")
    if status.st_size == 0:
        raise ProbsegError("E_EMPTY_FILE", f"'{path}' has 0 bytes; copy or export it again")
    return status.st_size


def max_bytes() -> int:
    """The largest volume in bytes that is read, 4 GiB unless PROBSEG_MAX_BYTES says otherwise."""
    text = os.environ.get("PROBSEG_MAX_BYTES")
    if text is None:
        return _DEFAULT_MAX_BYTES
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise ProbsegError("E_SCHEMA", "PROBSEG_MAX_BYTES must be a positive whole number of bytes")
    return int(text)


def check_size(path: Path, needed: int) -> None:
    """Refuse a volume of ``needed`` bytes with E_TOO_LARGE before anything is allocated for it."""
    limit = max_bytes()
    if needed > limit:
        raise ProbsegError(
            "E_TOO_LARGE",
            f"'{path}' needs {needed} bytes, over the limit of {limit}; crop it, or raise PROBSEG_MAX_BYTES",
        )
