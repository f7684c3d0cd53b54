"""Raters with known habits, what one of them draws, and the exact distribution of what they draw.

A reading of a lesion has three independent parts, so that its distribution is known in closed form. With chance
``miss_rate`` the lesion is not seen. The pattern is drawn once for the lesion from its row of ``confusion``. The
outline is where the signed distance s equals ``boundary_bias_mm + boundary_noise_mm * g``, g a smooth standard normal
field (see `fields.smooth_field`). So a voxel at distance s is drawn with probability

    (1 - miss_rate) * Phi((boundary_bias_mm - s) / boundary_noise_mm)

and given class k with that times ``confusion[truth, k]``; otherwise it stays the lung that it lies in. An outline
stays in the lesion's territory, so lesions never compete for a voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from probseg.case import Geometry
from probseg.data.synthetic.fields import smooth_field
from probseg.data.synthetic.lesions import REACH_MM, Lesion, axes_of
from probseg.data.synthetic.patterns import LABELS, PATTERNS
from probseg.errors import ProbsegError

__all__ = ["RaterModel", "default_raters", "neighbour_confusion", "rater_distribution"]


def neighbour_confusion(up: float, down: float) -> NDArray[np.float64]:
    """Confusion of neighbours in severity.

    Args:
        up: chance that a pattern is read as the next more severe one.
        down: chance that it is read as the next milder one.

    Returns:
        ``(classes, classes)``, rows sum to 1; what has no neighbour on a side stays itself. Background and lungs are
        never confused.
    """
    confusion = np.eye(LABELS.num_classes)
    labels = [p.label for p in PATTERNS]
    for k, label in enumerate(labels):
        if k + 1 < len(labels):
            confusion[label, labels[k + 1]] = up
            confusion[label, label] -= up
        if k > 0:
            confusion[label, labels[k - 1]] = down
            confusion[label, label] -= down
    return confusion


@dataclass(frozen=True, eq=False)
class RaterModel:
    """The habits of one rater.

    Attributes:
        name: of the rater, the same person in every case.
        boundary_bias_mm: how far outside the true outline this rater draws, mm in the axial plane; negative: inside.
        boundary_noise_mm: standard deviation of the outline about that, mm.
        confusion: ``(classes, classes)`` dense labels; ``confusion[t, k]`` is the chance that a lesion of pattern t is
            called k. Rows sum to 1. Patterns are confused with patterns only: not seeing a lesion is ``miss_rate``.
        miss_rate: chance that a lesion is not drawn at all.
        unread_fraction: part of the slices of a scan that this rater leaves unread.
        boundary_length_mm: how far along the outline an excursion lasts.

    Raises:
        ProbsegError: E_USAGE when a habit is out of its range.
    """

    name: str
    boundary_bias_mm: float = 0.0
    boundary_noise_mm: float = 1.0
    confusion: NDArray[np.float64] = field(default_factory=lambda: np.eye(LABELS.num_classes))
    miss_rate: float = 0.0
    unread_fraction: float = 0.0
    boundary_length_mm: float = 14.0

    def __post_init__(self) -> None:
        classes, patterns = LABELS.num_classes, [p.label for p in PATTERNS]
        confusion = np.asarray(self.confusion, dtype=np.float64)
        rest = [k for k in range(classes) if k not in patterns]
        fits = confusion.shape == (classes, classes) and bool((confusion >= 0).all())
        reach = abs(self.boundary_bias_mm) + 5 * self.boundary_noise_mm
        rules = (
            (bool(self.name), "name must not be empty"),
            (self.boundary_noise_mm >= 0, f"boundary_noise_mm must not be negative, but is {self.boundary_noise_mm}"),
            (reach <= REACH_MM, f"|boundary_bias_mm| + 5 boundary_noise_mm must be at most {REACH_MM}, but is {reach}"),
            (self.boundary_length_mm > 0, f"boundary_length_mm must be positive, but is {self.boundary_length_mm}"),
            (0 <= self.miss_rate <= 1, f"miss_rate must lie between 0 and 1, but is {self.miss_rate}"),
            (0 <= self.unread_fraction <= 1, f"unread_fraction must lie between 0 and 1, not {self.unread_fraction}"),
            (fits, f"confusion must be {classes} x {classes} and not negative"),
            (fits and np.allclose(confusion.sum(axis=1), 1), "the rows of confusion must sum to 1"),
            (
                fits
                and np.array_equal(confusion[rest], np.eye(classes)[rest])
                and not confusion[patterns][:, rest].any(),
                "confusion must confuse patterns with patterns only; use miss_rate for lesions that are not drawn",
            ),
        )
        for holds, rule in rules:
            if not holds:
                raise ProbsegError("E_USAGE", f"rater '{self.name}': {rule}")
        object.__setattr__(self, "confusion", confusion)

    def chance_drawn(self, signed_distance_mm: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability that a voxel at this distance from a lesion's outline is drawn as part of it."""
        margin = self.boundary_bias_mm - signed_distance_mm
        if self.boundary_noise_mm == 0:
            return ((1 - self.miss_rate) * (margin > 0)).astype(np.float32)
        return ((1 - self.miss_rate) * ndtr(margin / self.boundary_noise_mm)).astype(np.float32)

    def read(
        self, rng: np.random.Generator, lungs: NDArray[np.uint8], lesions: Sequence[Lesion], geometry: Geometry
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """One reading of a scan.

        Args:
            rng: source of randomness.
            lungs: ``(slices, rows, columns)``: 0 outside, 1 left, 2 right. Every rater is given the same lungs.
            lesions: of the scan.
            geometry: of the scan.

        Returns:
            ``(mask, rated)``: dense labels ``(slices, rows, columns)``, 0 in slices that were not read, and booleans
            ``(slices, 1, 1)`` of the slices read, None when all were.
        """
        mask = lungs.copy()
        for lesion in lesions:
            seen = rng.uniform() >= self.miss_rate
            called = int(rng.choice(LABELS.num_classes, p=self.confusion[lesion.label]))
            excursion = smooth_field(rng, axes_of(geometry, lesion.region), self.boundary_length_mm)
            outline = self.boundary_bias_mm + self.boundary_noise_mm * excursion
            if seen:
                mask[lesion.region][lesion.territory & (lesion.signed_distance_mm < outline)] = called
        expected = self.unread_fraction * len(lungs)
        number = int(expected) + int(rng.uniform() < expected - int(expected))  # right on average, whatever the slices
        if number == 0:
            return mask, None
        rated = np.ones((len(lungs), 1, 1), dtype=bool)
        rated[rng.choice(len(lungs), number, replace=False)] = False
        return mask * rated, rated


def rater_distribution(
    raters: Sequence[RaterModel], lungs: NDArray[np.uint8], lesions: Sequence[Lesion]
) -> NDArray[np.float32]:
    """The probability of each class at each voxel when a rater of the population, drawn at random, reads it.

    The mean over ``raters`` of the closed form above; slices left unread do not enter, since they are left by chance.
    Exact but for outlines further than `REACH_MM` from a lesion, which have a chance below 3e-7.

    Returns:
        ``(classes, slices, rows, columns)`` float32, sums to 1 over classes.
    """
    if not raters:
        raise ProbsegError("E_USAGE", "a distribution of raters needs at least one rater")
    distribution = np.zeros((LABELS.num_classes, *lungs.shape), dtype=np.float32)
    for label in np.unique(lungs):
        distribution[label] = lungs == label
    for lesion in lesions:
        place = distribution[(slice(None), *lesion.region)]
        total = np.zeros(lesion.territory.shape, dtype=np.float32)
        for rater in raters:
            drawn = rater.chance_drawn(lesion.signed_distance_mm) * lesion.territory / np.float32(len(raters))
            total += drawn
            for k in np.flatnonzero(rater.confusion[lesion.label]):
                place[k] += np.float32(rater.confusion[lesion.label, k]) * drawn
        side = lungs[lesion.region][lesion.territory][0]
        place[side] = np.where(lesion.territory, 1 - total, place[side])
    return distribution


def default_raters(count: int = 4) -> tuple[RaterModel, ...]:
    """Raters with different habits: of each, whether generous or sparing, hasty or careful, calling high or low.

    Args:
        count: how many, 1 to 60; the first rater is the same whatever the count.
    """
    if not 1 <= count <= 60:
        raise ProbsegError("E_USAGE", f"the number of raters must lie between 1 and 60, but is {count}")
    outlines = ((0.0, 0.8), (2.2, 1.2), (-1.5, 1.0), (0.8, 1.8))
    calls = ((0.08, 0.08), (0.25, 0.05), (0.05, 0.25), (0.15, 0.15), (0.10, 0.02))
    care = ((0.02, 0.0), (0.05, 0.0), (0.12, 0.15))
    return tuple(
        RaterModel(
            f"rater-{k + 1}",
            *outlines[k % len(outlines)],
            confusion=neighbour_confusion(*calls[k % len(calls)]),
            miss_rate=care[k % len(care)][0],
            unread_fraction=care[k % len(care)][1],
        )
        for k in range(count)
    )
