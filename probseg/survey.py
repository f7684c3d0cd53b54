"""What every case of a dataset holds, measured once: for checks, for splits, and for whoever wants a table of it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case
from probseg.records import CaseRecord, Dataset

__all__ = ["CaseFacts", "ReadingFacts", "survey"]


@dataclass(frozen=True)
class ReadingFacts:
    """One rater's mask in figures.

    Attributes:
        rater: name.
        sha256: of the mask and of what was rated; equal for two readings that are the same bit for bit.
        voxels: rated voxels of each dense label.
        rated: share of the voxels that this rater looked at, 0 to 1.
    """

    rater: str
    sha256: str
    voxels: tuple[int, ...]
    rated: float


@dataclass(frozen=True)
class CaseFacts:
    """One case in figures.

    Attributes:
        record: the case's entry in the manifest.
        shape: of the image on its canonical grid.
        spacing_mm: along each axis of ``shape``; None where not known.
        voxel_volume_ml: NaN where not known.
        sha256: of shape, type and voxels of the image; equal for two images that are the same bit for bit, and empty
            where there is no image.
        low, high: least and greatest intensity; NaN where there is no image.
        readings: one entry a rater.
        foreground: whether any rater drew anything that is certainly no background.
    """

    record: CaseRecord
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...] | None
    voxel_volume_ml: float
    sha256: str
    low: float
    high: float
    readings: tuple[ReadingFacts, ...]
    foreground: bool


def survey(dataset: Dataset) -> Iterator[CaseFacts]:
    """Read every case of a dataset, one after the other.

    Raises:
        ProbsegError: whatever reading a case raises.
    """
    background = dataset.info.labels.admissible[:, 0]
    for record in dataset.records:
        case = dataset.load(record)
        readings = tuple(_reading(case, rater, len(background)) for rater in case.masks)
        drawn = np.sum([r.voxels for r in readings], axis=0)[~background].sum()
        yield CaseFacts(
            record,
            case.geometry.shape,
            case.geometry.spacing,
            case.geometry.voxel_volume_ml,
            _digest(case.image) if case.has_image else "",
            float(case.image.min()) if case.has_image else math.nan,
            float(case.image.max()) if case.has_image else math.nan,
            readings,
            bool(drawn > 0),
        )


def _reading(case: Case, rater: str, labels: int) -> ReadingFacts:
    mask = case.masks[rater]
    rated = case.rated_by(rater)
    whole = rater not in case.rated
    voxels = np.bincount((mask if whole else mask[rated]).ravel(), minlength=labels)
    digest = _digest(mask) if whole else _digest(mask * rated) + _digest(np.ascontiguousarray(rated))
    return ReadingFacts(rater, digest, tuple(int(n) for n in voxels), 1.0 if whole else float(rated.mean()))


def _digest(array: NDArray) -> str:
    digest = hashlib.sha256(f"{array.shape}{array.dtype.str}".encode())
    digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()
