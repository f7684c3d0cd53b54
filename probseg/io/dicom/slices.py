"""A slice of a series: where it lies in the patient, where its pixels lie in a file, and how they become HU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from probseg.errors import ProbsegError

__all__ = ["NATIVE", "Slice", "Vector", "check_plane"]

NATIVE = frozenset(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"))
Vector = tuple[float, ...]


@dataclass(frozen=True)
class Slice:
    """One slice: where it lies in the patient, where its pixels lie in the file, and how they become HU.

    ``frame`` counts within the file. Lengths in mm. ``padding`` are the least and greatest stored padding value.
    ``warnings`` are codes of faults that do not change the result.
    """

    path: Path
    frame: int
    series: str
    sop_instance: str
    frame_of_reference: str
    phase: tuple[str, str]
    position: Vector
    orientation: Vector
    pixel_spacing: Vector
    thickness: float | None
    slope: float
    intercept: float
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: tuple[int, int] | None
    syntax: str
    big: bool
    pixel_offset: int
    pixel_length: int | None
    warnings: tuple[str, ...]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed slice."""
        return self.rows * self.columns * self.bits_allocated // 8


def check_plane(item: Slice) -> None:
    """Whether spacing, orientation and rescale of a slice can be true.

    Raises:
        ProbsegError: E_BAD_SPACING, E_BAD_AFFINE or E_NO_RESCALE.
    """
    name = f"'{item.path}'"
    if not all(s > 0 for s in item.pixel_spacing):
        raise ProbsegError("E_BAD_SPACING", f"{name} must have a PixelSpacing above 0 mm; export it again")
    across, down = item.orientation[:3], item.orientation[3:]
    lengths = math.hypot(*across), math.hypot(*down)
    cosine = sum(a * b for a, b in zip(across, down, strict=True))
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(cosine)) > 1e-3:
        raise ProbsegError("E_BAD_AFFINE", f"the axes in the orientation of {name} must be perpendicular unit vectors")
    if item.slope == 0:
        raise ProbsegError("E_NO_RESCALE", f"{name} has a RescaleSlope of 0, so its values are not HU; export it again")
