"""The formats that predictions are written in."""

from __future__ import annotations

from collections.abc import Sequence

from probseg.errors import ProbsegError

__all__ = ["DICOM", "FORMATS", "NIFTI", "chosen_formats"]

NIFTI, DICOM = "nifti", "dicom"
FORMATS = (NIFTI, DICOM)
_BOTH = "both"


def chosen_formats(names: Sequence[str]) -> tuple[str, ...]:
    """Formats in a fixed order from what a user typed; ``both`` is all of them.

    Raises:
        ProbsegError: E_USAGE for a name that is none.

    Example:
        >>> chosen_formats(["dicom", "nifti"])
        ('nifti', 'dicom')
    """
    strange = [name for name in names if name not in (*FORMATS, _BOTH)]
    if strange or not names:
        raise ProbsegError(
            "E_USAGE", f"--format '{' '.join(strange)}' is not available; give {', '.join(FORMATS)} or {_BOTH}"
        )
    return tuple(f for f in FORMATS if f in names or _BOTH in names)
