"""Surfaces of every structure as each rater of a case drew it, looked for once and only where it lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.patterns import DrawnPatterns, looked_up, pattern_boxes
from probseg.analysis.region import union_box
from probseg.analysis.surfaces import Surface, SurfaceDistances, both_ways, surface
from probseg.labels import LabelSet

__all__ = ["Outlines"]


class Outlines:
    """Surfaces of the structures of one case, kept where nothing is left out of a pair.

    Args:
        found: label combinations of the case.
        labels: the label set.
        spacing_mm: distance of neighbours along each axis.
    """

    def __init__(self, found: DrawnPatterns, labels: LabelSet, spacing_mm: Sequence[float]) -> None:
        self._found, self._spacing = found, spacing_mm
        # Not rated is as undecided as a label that leaves the structure open.
        self._members = [np.append(labels.membership(s), np.int8(-1))[found.labels] for s in labels.structures]
        self._boxes = pattern_boxes(found.which, len(found.voxels))
        self._whole: dict[tuple[int, int], Surface | None] = {}

    def distances(self, structure: int, i: int, j: int) -> SurfaceDistances | None:
        """Between what raters i and j drew of structure number ``structure``; None where one drew nothing."""
        return both_ways(self._outline(structure, i, j), self._outline(structure, j, i))

    def _outline(self, structure: int, k: int, other: int) -> Surface | None:
        """What rater k drew of it, where the other rater says whether it is there."""
        inside, hidden = self._members[structure][k] == 1, self._members[structure][other] == -1
        if (inside & hidden).any():
            return self._surface(inside & ~hidden)
        if (structure, k) not in self._whole:
            self._whole[structure, k] = self._surface(inside)
        return self._whole[structure, k]

    def _surface(self, chosen: NDArray[np.bool_]) -> Surface | None:
        box = union_box(b for b, c in zip(self._boxes, chosen, strict=True) if c)
        if box is None:
            return None
        return surface(looked_up(chosen, self._found.which[box]), self._spacing, [b.start for b in box])
