"""The labels of the opacity study's third phase, from a CT and what its readers drew.

The rules are those of the published code (COVID19-L3-Net-Phase3, Apache-2.0). Readers drew lungs and consolidation in
full, and ground glass where they were sure, so most of a lung is left open; what was ruled out there is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError
from probseg.labels import LabelClass, LabelGroup, LabelSet

__all__ = ["GROUND_GLASS_HU", "LABELS", "phase3_labels"]

GROUND_GLASS_HU = (-775.0, -375.0)
"""Both ends excluded: below is normal lung, at the upper end and above are vessels."""

_LUNG = ("vessels", "normal_lung", "ground_glass", "consolidation")

LABELS = LabelSet(
    (
        LabelClass(0, "background"),
        LabelClass(1, "vessels", "#0072b2"),
        LabelClass(2, "normal_lung", "#999999"),
        LabelClass(3, "ground_glass", "#56b4e9"),
        LabelClass(4, "consolidation", "#d55e00"),
    ),
    (
        LabelGroup("opacity", ("ground_glass", "consolidation")),
        LabelGroup("lung", _LUNG, 10),
        LabelGroup("lung_without_consolidation", ("vessels", "normal_lung", "ground_glass"), 11),
        LabelGroup("lung_without_ground_glass", ("vessels", "normal_lung", "consolidation"), 12),
        LabelGroup("lung_without_opacity", ("vessels", "normal_lung"), 13),
    ),
    unknown=255,
)
"""Five classes; the groups with a value are what a lung voxel may be where the rules name no class."""


def phase3_labels(
    hu: NDArray, parenchyma: NDArray, vessels: NDArray[np.bool_] | None = None, negatives: bool = True
) -> NDArray[np.uint8]:
    """File values of `LABELS` for every voxel.

    In the lungs: below -775 HU normal lung, whatever was drawn; consolidation as drawn; ground glass as drawn, but
    between -775 and -375 HU only; at or above -375 HU vessels, unless consolidation was drawn. Outside is background.
    Where that names no class the voxel may be every class of the lung that its reader did not rule out.

    Args:
        hu: ``space``, HU.
        parenchyma: ``(3, *space)``: lung, ground glass, consolidation as 1 drawn, 0 ruled out, -1 not said. A voxel
            whose lung is -1 is unknown.
        vessels: ``space``, for example a vesselness above a threshold; these voxels of the lungs are vessels whatever
            else holds, and no others are. None takes the rule of HU.
        negatives: False leaves what the rules do not name wholly unknown, as the study did.

    Returns:
        ``space``, uint8; of an empty input an empty array.

    Raises:
        ProbsegError: E_SHAPE_MISMATCH, E_UNKNOWN_LABEL where parenchyma holds anything but -1, 0 and 1.

    Example:
        >>> hu = np.array([-900, -775, -600, -600, -375, 0, 0, 40])
        >>> lung = np.array([1, 1, 1, 1, 1, 1, 1, 0])
        >>> glass = np.array([1, 1, 1, -1, 1, -1, -1, -1])
        >>> solid = np.array([0, 0, 0, 0, 0, 0, 1, 1])
        >>> phase3_labels(hu, np.stack([lung, glass, solid])).tolist()
        [2, 11, 3, 11, 1, 1, 4, 0]
    """
    _check(hu, parenchyma, vessels)
    low, high = GROUND_GLASS_HU
    lung, glass, solid = parenchyma
    consolidation = solid == 1
    labels = _open(glass, solid) if negatives else np.full(hu.shape, 255, np.uint8)
    labels[(glass == 1) & (hu > low) & (hu < high)] = 3
    labels[consolidation] = 4
    labels[hu < low] = 2
    labels[(hu >= high) & ~consolidation if vessels is None else vessels] = 1
    labels[lung == 0] = 0
    labels[lung == -1] = 255
    return labels


def _open(glass: NDArray, solid: NDArray) -> NDArray[np.uint8]:
    """The group that remains of the lung when the negatives are taken out of it."""
    return np.where(solid == 0, np.where(glass == 0, 13, 11), np.where(glass == 0, 12, 10)).astype(np.uint8)


def _check(hu: NDArray, parenchyma: NDArray, vessels: NDArray | None) -> None:
    if parenchyma.shape != (3, *hu.shape) or (vessels is not None and vessels.shape != hu.shape):
        raise ProbsegError(
            "E_SHAPE_MISMATCH",
            f"parenchyma has shape {parenchyma.shape}, but for a CT of {hu.shape} it must be {(3, *hu.shape)}, and "
            "vessels must be as the CT",
        )
    strange = np.unique(parenchyma[~np.isin(parenchyma, (-1, 0, 1))])
    if strange.size:
        raise ProbsegError(
            "E_UNKNOWN_LABEL", f"parenchyma must hold -1, 0 and 1 only, but holds {strange[0]}; see where it came from"
        )
