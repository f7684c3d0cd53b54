"""Agreement beyond chance: Cohen's and Fleiss' kappa, Krippendorff's alpha.

Chance is judged from how often each class is used, so these figures depend on the region: with the whole image, easy
background makes any raters look alike. The region is always declared: `fleiss_kappa` takes the union of foreground
unless told otherwise; for the other two the caller passes the voxels that count.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.entropy import votes
from probseg.analysis.patterns import vote_patterns

__all__ = [
    "alpha_of_coincidences",
    "alpha_of_counts",
    "cohen_kappa",
    "coincidences",
    "fleiss_kappa",
    "kappa_and_alpha",
    "kappa_of_coincidences",
    "kappa_of_counts",
    "kappa_of_joint",
    "krippendorff_alpha",
]


def _beyond_chance(observed: float, expected: float) -> float:
    """``(observed - expected) / (1 - expected)``; NaN where chance alone agrees completely (one class in use)."""
    return math.nan if expected >= 1.0 else (observed - expected) / (1.0 - expected)


def cohen_kappa(a: NDArray, b: NDArray) -> float:
    """Agreement of two raters beyond chance, nominal: 1 complete, 0 as by chance, negative below it.

    Cohen (1960), doi:10.1177/001316446002000104.

    Args:
        a: integer labels of the voxels of a declared region, any shape.
        b: likewise, the same voxels.

    Returns:
        NaN for no voxel, or where both use one and the same class throughout: there is no chance to go beyond.

    Example:
        >>> a = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
        >>> b = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
        >>> round(cohen_kappa(a, b), 3)
        0.4
    """
    if a.size == 0:
        return math.nan
    labels, index = np.unique(np.stack([a.ravel(), b.ravel()]), return_inverse=True)
    first, second = index.reshape(2, -1)
    table = np.bincount(first * len(labels) + second, minlength=len(labels) ** 2)
    return kappa_of_joint(table.reshape(len(labels), -1))


def kappa_of_joint(table: NDArray) -> float:
    """Cohen's kappa of a table ``(classes, classes)`` of how many voxels one calls i and the other j; NaN likewise."""
    total = float(table.sum())
    if total == 0.0:
        return math.nan
    share = table / total
    return _beyond_chance(float(np.trace(share)), float(share.sum(axis=0) @ share.sum(axis=1)))


def coincidences(counts: NDArray, voxels: NDArray | None = None) -> NDArray[np.float64]:
    """Krippendorff's coincidence table ``(classes, classes)``: how often two votes on one voxel go together.

    ``o_ck = sum over voxels of n_c (n_k - [c = k]) / (m - 1)``, ``m`` the votes on a voxel and ``n_c`` those for c,
    so that a voxel weighs by its votes. Tables of parts of an image, and of images, add up.

    Args:
        counts: ``(units, classes)`` votes; a unit with fewer than two says nothing and is left out.
        voxels: ``(units,)`` how often each row occurs, None once.
    """
    counts = counts.astype(np.float64)
    weight = np.ones(len(counts)) if voxels is None else voxels.astype(np.float64)
    total = counts.sum(axis=1)
    weight = np.divide(weight, total - 1.0, out=np.zeros(len(weight)), where=total >= 2)
    weighed = counts * weight[:, None]
    return weighed.T @ counts - np.diag(weighed.sum(axis=0))


def alpha_of_coincidences(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Krippendorff's alpha of tables ``(..., classes, classes)`` of `coincidences`, ``(...)``.

    NaN for an empty table, or where one class is in use.
    """
    total, same, usage = tables.sum(axis=(-2, -1)), np.trace(tables, axis1=-2, axis2=-1), tables.sum(axis=-1)
    expected = total**2 - (usage**2).sum(axis=-1)
    defined = (np.count_nonzero(usage, axis=-1) > 1) & (total >= 2.0)
    # D_o / D_e, where D_o = (total - same) / total and D_e = expected / (total (total - 1)).
    differing = (total - same) * (total - 1.0)
    return 1.0 - np.divide(differing, expected, out=np.full(total.shape, np.nan), where=defined)


def kappa_of_coincidences(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fleiss' kappa of tables ``(..., classes, classes)`` of `coincidences` of voxels that all raters voted on.

    With the same raters on every voxel this is Fleiss (1971); summed over cases of different numbers of raters, each
    voxel weighs by its votes. NaN as for `alpha_of_coincidences`.
    """
    total, same, usage = tables.sum(axis=(-2, -1)), np.trace(tables, axis1=-2, axis2=-1), tables.sum(axis=-1)
    by_chance = (usage**2).sum(axis=-1)
    defined = np.count_nonzero(usage, axis=-1) > 1
    # (P_o - P_e) / (1 - P_e), where P_o = same / total and P_e = by_chance / total^2.
    beyond = same * total - by_chance
    return np.divide(beyond, total**2 - by_chance, out=np.full(total.shape, np.nan), where=defined)


def kappa_of_counts(counts: NDArray, voxels: NDArray | None = None) -> float:
    """Fleiss' kappa of a table ``(units, classes)`` of votes with the same number of raters, two or more, in each row.

    ``voxels`` tells how often each row occurs, None once. NaN for no row, one rater, or one class in use.
    """
    return float(kappa_of_coincidences(coincidences(counts, voxels)))


def fleiss_kappa(masks: NDArray, num_classes: int, region: NDArray | None = None) -> float:
    """Agreement of several raters beyond chance, nominal: 1 complete, 0 as by chance.

    Fleiss (1971), doi:10.1037/h0031619.

    Args:
        masks: ``(raters, *space)`` integer label maps. Fleiss' kappa wants every rater's vote, so a voxel where any
            label lies outside ``0..num_classes-1`` is left out; `krippendorff_alpha` keeps it.
        num_classes: C, background included.
        region: ``space`` booleans; None for the union of the raters' foreground.

    Returns:
        NaN where the region is empty, there is one rater, or one class is in use.
    """
    found = vote_patterns(masks if region is None else masks[:, region], num_classes)
    counts = votes(found.labels, num_classes)
    chosen = counts.sum(axis=0) == len(masks)
    if region is None:
        chosen &= counts[1:].sum(axis=0) > 0
    return kappa_of_counts(counts[:, chosen].T, found.voxels[chosen])


def alpha_of_counts(counts: NDArray, voxels: NDArray | None = None) -> float:
    """Krippendorff's alpha of a table ``(units, classes)`` of votes; rows may have different numbers of raters.

    ``voxels`` tells how often each row occurs, None once. NaN where no row has two votes, or one class is in use.
    """
    return float(alpha_of_coincidences(coincidences(counts, voxels)))


def krippendorff_alpha(masks: NDArray, rated: NDArray | None = None) -> float:
    """Agreement beyond chance of any number of raters, nominal, where some did not rate some voxels.

    Krippendorff (2004), Content Analysis, chapter 11. Every voxel that two raters or more rated counts, so declare the
    region: ``rated & region``, with the union of foreground in mind, not the whole image.

    Args:
        masks: ``(raters, *space)`` integer label maps, or ``(raters, voxels)`` of a region.
        rated: ``(raters, *space)`` booleans, None for everywhere.

    Returns:
        1 complete agreement, 0 as by chance; NaN where no voxel has two votes, or one class is in use.
    """
    if masks.size == 0:
        return math.nan
    if masks.min() < 0 or masks.max() > 255:
        # Nominal labels are only names, and small names can be counted.
        names, masks = np.unique(masks, return_inverse=True)
        num_labels = len(names)
    else:
        num_labels = int(masks.max()) + 1
    found = vote_patterns(masks, num_labels, rated)
    return alpha_of_counts(votes(found.labels, num_labels).T, found.voxels)


def kappa_and_alpha(masks: NDArray, num_classes: int, rated: NDArray | None = None) -> tuple[float, float]:
    """Fleiss' kappa and Krippendorff's alpha of the voxels of a declared region, from one look at them.

    Args:
        masks: ``(raters, voxels)`` integer labels; one outside ``0..num_classes-1`` is not rated.
        num_classes: C, background included.
        rated: ``(raters, voxels)`` booleans, None for everywhere.

    Returns:
        Kappa over the voxels that every rater rated and alpha over those that two or more did; NaN as for each alone.
    """
    found = vote_patterns(masks, num_classes, rated)
    counts = votes(found.labels, num_classes).T
    everyone = counts.sum(axis=1) == len(masks)
    return kappa_of_counts(counts[everyone], found.voxels[everyone]), alpha_of_counts(counts, found.voxels)
