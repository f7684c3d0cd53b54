"""A folder a case with an image and numbered masks: which cases there are, and of which part of the release."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

from probseg.errors import ProbsegError, warn
from probseg.io.guard import is_folder

__all__ = ["CaseFolder", "drawn_cases", "find_cases", "tell_unused"]

_IMAGES = ("image.nii.gz", "image.nii")
_PARTS = {"train": "train", "valid": "validation", "test": "test"}


@dataclass(frozen=True)
class CaseFolder:
    """One case as it lies in a release.

    Attributes:
        path: the folder.
        image: its image.
        others: its other files with the suffix of NIfTI, by name.
        source: the folder that was given and in which it was found.
    """

    path: Path
    image: Path
    others: tuple[Path, ...]
    source: Path

    @property
    def name(self) -> str:
        """That of the folder."""
        return self.path.name

    @property
    def part(self) -> str:
        """``train``, ``validation`` or ``test``: how the nearest folder from the source down begins; else empty."""
        return next((part for part in map(_part, self._above()) if part), "")

    @property
    def collection(self) -> str:
        """Name of the nearest folder above that is not called after a part, whether it was given or lies above that."""
        return next((p.name for p in self.path.resolve().parents if not _part(p)), "")

    def _above(self) -> list[Path]:
        source = self.source.resolve()
        return [p for p in self.path.resolve().parents if p.is_relative_to(source)]


def _part(folder: Path) -> str:
    return next((part for start, part in _PARTS.items() if folder.name.lower().startswith(start)), "")


def find_cases(sources: Sequence[Path]) -> list[CaseFolder]:
    """Every folder below the sources that holds an image, by name.

    Raises:
        ProbsegError: E_FILE_MISSING, E_USAGE for a file, E_NO_CASES where there is none, E_DUPLICATE_CASE where two
            folders have one name.
    """
    found: dict[str, CaseFolder] = {}
    for source in sources:
        if not is_folder(source):
            raise ProbsegError("E_USAGE", f"'{source}' is a file; give a folder with a folder a case in it")
        for image in sorted(p for p in source.rglob("image.nii*") if p.name in _IMAGES and p.is_file()):
            folder = image.parent
            others = (p for p in sorted(folder.iterdir()) if p.name.endswith((".nii", ".nii.gz")) and p != image)
            case = CaseFolder(folder, image, tuple(others), source)
            other = found.setdefault(case.name, case)
            if other.path.resolve() != folder.resolve():
                raise ProbsegError(
                    "E_DUPLICATE_CASE",
                    f"'{other.path}' and '{folder}' are called alike; give the folders of one dataset of one release",
                )
    if not found:
        raise ProbsegError("E_NO_CASES", f"no folder below '{sources[0]}' holds image.nii.gz")
    return [found[name] for name in sorted(found)]


def drawn_cases(cases: Sequence[CaseFolder], numbers: Callable[[CaseFolder], Sized], wanted: str) -> list[CaseFolder]:
    """The cases of which there are masks; warns W_NO_LABELS of those that are left out.

    Args:
        cases: of `find_cases`.
        numbers: the masks of a case.
        wanted: name of the first mask, for the messages.

    Raises:
        ProbsegError: E_NO_LABELS where there is no mask of any case.
    """
    drawn = [case for case in cases if len(numbers(case))]
    if not drawn:
        raise ProbsegError("E_NO_LABELS", f"none of {len(cases)} folders such as '{cases[0].path}' holds {wanted}")
    left = [case for case in cases if not len(numbers(case))]
    if left:
        warn("W_NO_LABELS", f"{len(left)} folders hold no {wanted} and were left out, such as '{left[0].path}'")
    return drawn


def tell_unused(cases: Sequence[CaseFolder], pattern: re.Pattern[str], wanted: str) -> None:
    """Warn W_UNUSED_MASK of files of the cases that are called otherwise than masks are."""
    files = [p for case in cases for p in case.others if not pattern.fullmatch(p.name)]
    if files:
        warn("W_UNUSED_MASK", f"{len(files)} files are not called {wanted} and were left out, such as '{files[0]}'")
