"""The folder that a command writes into: new, empty, or said to be replaced."""

from __future__ import annotations

from pathlib import Path

from probseg.errors import ProbsegError

__all__ = ["check_out"]


def check_out(out: Path, overwrite: bool) -> None:
    """Refuse an output folder that holds something, unless it may be overwritten: E_OUTPUT_EXISTS."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ProbsegError("E_OUTPUT_EXISTS", f"--out '{out}' is a file or a link; give a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise ProbsegError("E_OUTPUT_EXISTS", f"'{out}' is not empty; add --overwrite or choose another --out")
