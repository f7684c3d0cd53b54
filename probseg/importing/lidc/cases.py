"""Clusters of a LIDC scan become cases, one a nodule; or a scan becomes one case with everything its raters drew."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probseg.case import Geometry, to_canonical
from probseg.importing.build import SourceCase, SourceReading
from probseg.importing.lidc.nodules import MOST_RATERS, Drawing, Place, Scan, cluster, draw, place
from probseg.labels import LabelClass, LabelSet
from probseg.records import DatasetInfo

__all__ = ["INFO", "Choice", "nodule_cases", "scan_names", "whole_case"]

INFO = DatasetInfo(
    "LIDC-IDRI",
    3,
    LabelSet((LabelClass(0, "background"), LabelClass(1, "nodule", "#e4572e", "SCT:27925004:Nodule"))),
    (-1000.0, 400.0),
    stable_raters=False,
    note="LIDC-IDRI, Armato et al., The Cancer Imaging Archive (2015), doi:10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0. "
    "Readings are numbered at random in each case: a number is no person.",
)


@dataclass(frozen=True)
class Choice:
    """Which nodules become cases and how.

    Attributes:
        readings: how many drawings a nodule must have; None for any.
        margin_mm: what is kept round the contours; at least one voxel.
        seed: of the order of the readings.
        empty: whether those of the four raters of a scan who did not draw the nodule have an empty mask, for "marked
            nothing here"; else they are absent, as the data cannot tell whether they missed it or called it otherwise.
    """

    readings: Collection[int] | None = None
    margin_mm: float = 10.0
    seed: int = 0
    empty: bool = False


def nodule_cases(
    scan: Scan, name: str, number: int, geometry: Geometry, choice: Choice, image: NDArray | None = None
) -> Iterator[SourceCase]:
    """One case a nodule: a box of the scan, and the masks of those who drew it in random order.

    Args:
        scan: drawings.
        name: of the cases, with ``-n`` and the number of the nodule behind it.
        number: of the scan; with the seed it decides the order of the readings.
        geometry: of the whole scan as stored, its slices in the order of ``scan.z_mm``.
        choice: which nodules.
        image: the whole scan, or None.
    """
    spacing = geometry.spacing
    assert spacing is not None
    margin = [max(1, math.ceil(choice.margin_mm / s)) for s in spacing]
    for k, drawings in enumerate(cluster(scan)):
        if choice.readings is not None and len(drawings) not in choice.readings:
            continue
        box = place(drawings, geometry.shape, margin)
        corner = geometry.affine @ np.array([*(p.start for p in box), 1.0])
        origin = (float(corner[0]), float(corner[1]), float(corner[2]))
        stored = replace(geometry, shape=tuple(p.stop - p.start for p in box), origin=origin)
        masks = [draw(d, box) for d in drawings]
        if choice.empty:
            masks += [np.zeros_like(masks[0])] * (MOST_RATERS - len(masks))
        order = np.random.default_rng((choice.seed, number, k)).permutation(len(masks))
        readings = tuple(
            SourceReading(f"reading-{n}", to_canonical(masks[m], stored)[0]) for n, m in enumerate(order, start=1)
        )
        cut = None if image is None else to_canonical(np.ascontiguousarray(image[box]), stored)[0]
        canonical = to_canonical(np.zeros(stored.shape, np.uint8), stored)[1]
        yield SourceCase(
            f"{name}-n{k + 1}", scan.patient_id, "", cut, (), canonical, readings, stored, note=_note(drawings)
        )


def whole_case(
    scan: Scan, name: str, number: int, geometry: Geometry, choice: Choice, files: tuple[Path, ...]
) -> SourceCase:
    """The whole scan as one case: everything that each of its raters drew, in random order of the raters.

    Who drew nothing has an empty mask, as he is known to have read the scan.

    Args:
        scan: drawings, their raters numbered.
        name: of the case.
        number: of the scan; with the seed it decides the order of the raters.
        geometry: of the scan as stored.
        choice: for its seed.
        files: of the DICOM series in order, copied as they are.
    """
    everything: Place = (slice(0, geometry.shape[0]), slice(0, geometry.shape[1]), slice(0, geometry.shape[2]))
    canonical = to_canonical(np.broadcast_to(np.zeros((), np.uint8), geometry.shape), geometry)[1]
    readings = []
    for n, rater in enumerate(np.random.default_rng((choice.seed, number)).permutation(scan.raters), start=1):
        mask = np.zeros(geometry.shape, dtype=np.uint8)
        for drawing in (d for d in scan.drawings if d.rater == rater):
            mask |= draw(drawing, everything)
        readings.append(SourceReading(f"reading-{n}", to_canonical(mask, geometry)[0]))
    return SourceCase(name, scan.patient_id, "", None, files, canonical, tuple(readings))


def _note(drawings: Sequence[Drawing]) -> str:
    if len(drawings) <= MOST_RATERS:
        return ""
    return f"{len(drawings)} drawings that touch; {MOST_RATERS} raters read the scan, so these are several nodules"


def scan_names(patients: Sequence[str]) -> list[str]:
    """A name a scan from the patient of each: his own, and from his second scan on with its number."""
    seen: dict[str, int] = {}
    names = []
    for patient in patients:
        seen[patient] = seen.get(patient, 0) + 1
        names.append(patient if seen[patient] == 1 else f"{patient}-scan{seen[patient]}")
    return names
