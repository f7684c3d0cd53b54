"""All pairs of a case counted once, readings and raters together: what energy distances and matchings are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.overlap import Counts, foreground_counts, iou, mean_over_classes

__all__ = ["Overlap", "PairCounts", "Similarities", "pair_counts", "present_raters"]

_BLOCK = 1 << 16  # voxels that are looked at together

# `iou` or `dice`: counts to a ratio, NaN where a class is absent from both masks.
Overlap = Callable[[Counts], NDArray[np.float64]]


class Similarities(NamedTuple):
    """How alike a reading and a rater, two readings, and two raters are: ``(N, M)``, ``(N, N)`` and ``(M, M)``."""

    sy: NDArray[np.float64]
    ss: NDArray[np.float64]
    yy: NDArray[np.float64]


@dataclass(frozen=True)
class PairCounts:
    """Voxels of every foreground class in every pair of maps of one case.

    Attributes:
        counts: three arrays ``(N + M, N + M, C - 1)``, readings before raters.
        num_readings: N.
    """

    counts: Counts
    num_readings: int

    @property
    def num_raters(self) -> int:
        """M, without the raters who rated nothing."""
        return len(self.counts.both) - self.num_readings

    def similarities(self, overlap: Overlap = iou, absent: float = 1.0) -> Similarities:
        """Overlap of every pair, averaged over the foreground classes.

        Args:
            overlap: `probseg.analysis.overlap.iou` or `dice`.
            absent: what a class that is absent from both counts; NaN leaves it out, see `mean_over_classes`.
        """
        matrix, n = mean_over_classes(overlap(self.counts), absent), self.num_readings
        return Similarities(matrix[:n, n:], matrix[:n, :n], matrix[n:, n:])

    def of_classes(self, classes: tuple[int, ...]) -> PairCounts:
        """Of these labels alone, each in 1..C-1."""
        chosen = [c - 1 for c in classes]
        return PairCounts(Counts(*(part[:, :, chosen] for part in self.counts)), self.num_readings)


def pair_counts(readings: NDArray, masks: NDArray, num_classes: int, rated: NDArray | None = None) -> PairCounts:
    """Count all pairs of a case, some voxels after the other, so that memory does not grow with the image.

    Args:
        readings: S, ``(N, *space)`` integer label maps.
        masks: Y, ``(M, *space)`` integer label maps; labels outside ``0..num_classes-1`` count as not rated.
        num_classes: C, background included.
        rated: ``(M, *space)`` booleans, None for everywhere; a rater who rated nothing is left out.
    """
    masks, rated = present_raters(masks, num_classes, rated)
    return PairCounts(foreground_counts([(readings, None), (masks, rated)], num_classes), len(readings))


def present_raters(masks: NDArray, num_classes: int, rated: NDArray | None) -> tuple[NDArray, NDArray | None]:
    """Without the raters who rated nothing at all: absent is not empty, and absent is not counted."""
    kept = np.zeros(len(masks), dtype=bool)
    shape = (len(masks), math.prod(masks.shape[1:]))
    flat, looked = masks.reshape(shape), None if rated is None else np.broadcast_to(rated, masks.shape).reshape(shape)
    for start in range(0, shape[1], _BLOCK):
        part = flat[:, start : start + _BLOCK]
        known = (part >= 0) & (part < num_classes)
        kept |= (known if looked is None else known & looked[:, start : start + _BLOCK]).any(axis=1)
        if kept.all():  # mostly at once
            break
    if kept.all():
        return masks, rated
    return masks[kept], None if rated is None else rated[kept]
