"""Coded concepts: what a label set says in ``scheme:value:meaning``, and what is used where it says nothing."""

from __future__ import annotations

import re

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from probseg.errors import ProbsegError

__all__ = ["ABNORMAL", "ANATOMICAL", "LESION", "LUNG", "OWN_SCHEME", "own_scheme", "parse_code", "region_of"]

ANATOMICAL: Code = codes.SCT.AnatomicalStructure
"""Category of the lung; of context group 7150."""

ABNORMAL: Code = codes.SCT.MorphologicallyAbnormalStructure
"""Category of everything else."""

LUNG: Code = codes.SCT.Lung
LESION: Code = codes.SCT.Lesion
"""Types of classes of the two categories that bring no code."""

OWN_SCHEME = "99PROBSEG"
"""Private coding scheme, as PS3.16, 8.2, wants it named."""


def own_scheme() -> list[CodingSchemeIdentificationItem]:
    """What an object says of `OWN_SCHEME` that uses it."""
    return [CodingSchemeIdentificationItem(OWN_SCHEME, name="Terms of probseg")]


_CHEST: Code = codes.SCT.Chest
_ANY_REGION: Code = codes.SCT.Tissue
_PART = re.compile(r"[^\x00-\x1f\x7f\\]+")


def parse_code(text: str, name: str) -> Code:
    """A coded concept of a label set.

    Args:
        text: ``scheme:value:meaning``; the meaning may hold colons.
        name: of the class, named in the error.

    Raises:
        ProbsegError: E_SCHEMA where the text is something else, or a part is longer than DICOM lets it be.

    Example:
        >>> parse_code("SCT:3341006:Right lung", "right_lung").value
        '3341006'
    """
    parts = [part.strip() for part in text.split(":", 2)]
    limits = (16, 64, 64)
    sound = len(parts) == 3 and all(
        _PART.fullmatch(part) and len(part) <= limit for part, limit in zip(parts, limits, strict=True)
    )
    if not sound:
        raise ProbsegError(
            "E_SCHEMA",
            f"the code of class '{name}' must be scheme:value:meaning of at most 16, 64 and 64 characters, such as "
            "SCT:3341006:Right lung; correct it in dataset.yaml",
        )
    scheme, value, meaning = parts
    return Code(value, scheme, meaning)


def region_of(body_part: str) -> Code:
    """The anatomic region of a BodyPartExamined: Chest, or where it is another or unknown Tissue, which is anywhere."""
    return _CHEST if body_part in ("CHEST", "LUNG", "THORAX") else _ANY_REGION
