"""Made-up scans that several raters drew, of the sizes that radiologists meet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from probseg.case import Case, Geometry
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.records import DatasetInfo

__all__ = ["SPACING_MM", "lesion_pairs", "lesions", "scan", "small_cases"]

SPACING_MM = (1.25, 0.7, 0.7)
_SHAPE = (60, 512, 512)


def _ball(shape: tuple[int, ...], centre: NDArray, radius_mm: float) -> NDArray[np.bool_]:
    grid = np.indices(shape, sparse=True)
    parts = [((g - c) * s) ** 2 for g, c, s in zip(grid, centre, SPACING_MM, strict=True)]
    return sum(parts[1:], parts[0]) <= radius_mm**2


def lesions(raters: int) -> NDArray[np.uint8]:
    """``(raters, 60, 512, 512)``: four lesions of 6 to 30 mm, drawn a little otherwise by each, some of them missed."""
    rng = np.random.default_rng(0)
    places = np.array([[30, 200, 300], [20, 320, 180], [40, 150, 150], [45, 350, 360]])
    masks = np.zeros((raters, *_SHAPE), np.uint8)
    for mask in masks:
        for place, radius in zip(places, (30.0, 18.0, 8.0, 6.0), strict=True):
            if rng.random() < 0.85:
                mask |= _ball(_SHAPE, place + rng.normal(0, 1.5, 3), radius + rng.normal(0, 1.0))
    return masks


def lesion_pairs() -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Three lesions of 10, 18 and 28 mm across in 512 x 512 x 60, nodules all of them, each by two raters."""
    rng = np.random.default_rng(1)
    pairs = []
    for place, radius in zip(([30, 200, 300], [18, 380, 90], [44, 260, 420]), (5.0, 9.0, 14.0), strict=True):
        one, other = (_ball(_SHAPE, np.array(place) + rng.normal(0, 1.5, 3), radius + rng.normal()) for _ in range(2))
        pairs.append((one, other))
    return pairs


def _field(rng: np.random.Generator, shape: tuple[int, ...], width: tuple[float, ...]) -> NDArray[np.float64]:
    field = ndimage.gaussian_filter(rng.normal(size=shape), width)
    return field / field.std()


def scan() -> tuple[Case, DatasetInfo]:
    """512 x 512 x 100, both lungs and four kinds of opacity by four raters, who differ in outline, kind and lesion."""
    shape, coarse = (100, 512, 512), (25, 128, 128)
    z, y, x = np.indices(shape, sparse=True)
    lung = np.zeros(shape, bool)
    for middle in (160, 352):
        lung |= ((z - 50) / 45) ** 2 + ((y - 256) / 150) ** 2 + ((x - middle) / 85) ** 2 <= 1
    sides = 1 + (np.broadcast_to(x, shape) > 256).astype(np.uint8)
    rng = np.random.default_rng(0)
    where = _field(rng, coarse, (2, 5, 5))
    kinds = [_field(rng, coarse, (2, 5, 5)) for _ in range(4)]
    fine = np.ones((4, 4, 4), np.uint8)
    masks = {}
    for k in range(4):
        drawn = np.kron((where + 0.12 * _field(rng, coarse, (2, 5, 5)) > 0.9).astype(np.uint8), fine).astype(bool)
        kind = np.argmax([f + 0.15 * _field(rng, coarse, (2, 5, 5)) for f in kinds], axis=0).astype(np.uint8)
        inside = ndimage.binary_erosion(lung, iterations=k) if k else lung
        masks[f"rater {k + 1}"] = np.where(inside, np.where(drawn, 3 + np.kron(kind, fine), sides), 0).astype(np.uint8)
    names = ("background", "left lung", "right lung", "ground glass", "crazy paving", "consolidation", "fibrosis")
    groups = (LabelGroup("opacity", names[3:]), LabelGroup("lung", names[1:]))
    labels = LabelSet(tuple(LabelClass(k, name) for k, name in enumerate(names)), groups)
    empty = np.zeros((0, *shape), np.int16)
    case = Case("scan", "patient", "", empty, masks, Geometry(shape, SPACING_MM))
    return case, DatasetInfo("scan", 3, labels, (-1000.0, 400.0), annotations_only=True)


def small_cases(number: int) -> tuple[Iterator[Case], DatasetInfo]:
    """So many volumes of 16 x 64 x 64 with a lesion by four raters, made one after the other."""
    shape = (16, 64, 64)

    def made() -> Iterator[Case]:
        for k in range(number):
            rng = np.random.default_rng(k)
            place = np.array([8.0, 32.0, 32.0]) + rng.normal(0, 2, 3)
            masks = {r: _ball(shape, place + rng.normal(0, 0.7, 3), 6 + rng.normal()).astype(np.uint8) for r in "ABCD"}
            empty = np.zeros((0, *shape), np.int16)
            yield Case(f"c{k}", f"p{k}", "", empty, masks, Geometry(shape, SPACING_MM))

    return made(), DatasetInfo("cases", 3, LabelSet.binary("lesion"), (0.0, 1.0), annotations_only=True)
