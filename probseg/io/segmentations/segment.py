"""A named structure that one rater drew, and how several of them become one label map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError

__all__ = ["Segment", "label_map"]


@dataclass(frozen=True)
class Segment:
    """One structure of a segmentation file.

    Attributes:
        name: as the file gives it, for example ``Consolidation``.
        number: its label value (NRRD), segment number (DICOM-SEG) or ROI number (RTSTRUCT).
        mask: booleans on the canonical grid of the image, ``(slices, rows, columns)``.
    """

    name: str
    number: int
    mask: NDArray[np.bool_]


def label_map(segments: Sequence[Segment], values: Mapping[str, int], what: str) -> NDArray[np.uint16]:
    """Merge segments into one label map.

    Args:
        segments: of one file, on one grid.
        values: the file value that each segment gets, by its name; all must be named, and several may share a value.
        what: names the mask in errors, for example "the mask of rater 'A' of case 'LIDC-0007'".

    Returns:
        File values ``(slices, rows, columns)``, 0 where no segment is.

    Raises:
        ProbsegError: E_UNKNOWN_LABEL for a segment that has no value, E_OVERLAP where segments of different values
            share voxels, E_NO_LABELS without a segment.
    """
    if not segments:
        raise ProbsegError("E_NO_LABELS", f"{what} holds no segment")
    merged = np.zeros(segments[0].mask.shape, dtype=np.uint16)
    for k, segment in enumerate(segments):
        if segment.name not in values:
            raise ProbsegError(
                "E_UNKNOWN_LABEL",
                f"{what} holds a segment '{segment.name}' that has no label; known are {', '.join(sorted(values))}",
            )
        value = values[segment.name]
        met = merged[segment.mask]
        clash = (met != 0) & (met != value)
        if clash.any():
            other = _first_overlapping(segments[:k], segment, values)
            raise ProbsegError(
                "E_OVERLAP",
                f"in {what} the segments '{other}' and '{segment.name}' overlap in {int(clash.sum())} voxels; "
                "a voxel has one label, so decide in the drawing program which of them it is",
            )
        merged[segment.mask] = value
    return merged


def _first_overlapping(before: Sequence[Segment], segment: Segment, values: Mapping[str, int]) -> str:
    rivals = (s for s in before if values[s.name] != values[segment.name] and (s.mask & segment.mask).any())
    return next(rivals).name
