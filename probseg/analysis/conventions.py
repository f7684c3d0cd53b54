"""How published papers compute GED and its kin, so that a figure may be held beside theirs.

All of them call it GED, and mean different numbers by it: what two empty masks count, whether a class that is in
neither mask counts at all, whether self-pairs do, how many readings there are, and which images are left. A
`Convention` says each of these; the named ones are what the papers' released code does where there is any, and what
the paper says otherwise. Where neither was at hand, the attribute's description here says "inferred".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.energy import matched_similarity, mean_distinct
from probseg.analysis.known import mean_of_known
from probseg.analysis.overlap import iou
from probseg.analysis.pair_counts import Overlap, PairCounts, Similarities, pair_counts
from probseg.errors import ProbsegError

__all__ = [
    "CCDM_2023",
    "HPU_NET_2019",
    "HPU_NET_2019_SUBSET_B",
    "OURS",
    "PHISEG_2019",
    "PROBABILISTIC_UNET_2018",
    "PROBABILISTIC_UNET_2018_CITYSCAPES",
    "SSN_2020",
    "Convention",
    "conventional_energy_distance",
    "conventional_matched_overlap",
]


@dataclass(frozen=True)
class Convention:
    """What counts in a GED, and how much.

    Attributes:
        source: where it is taken from.
        overlap: `probseg.analysis.overlap.iou` or `dice`; the distance is 1 less it.
        absent: overlap of a class that is absent from both masks: 1, 0, or NaN to leave the class out of the mean over
            classes, and a pair without any class out of the mean over pairs.
        classes: the labels that count; None for every one but background.
        self_pairs: whether a member is paired with itself within a set (V), or not (U).
        readings: how many there must be at least; the first so many count. None for all there are.
        absent_is_empty: whether a rater who looked at nothing counts as one who found nothing.
        raters: images with fewer raters are left out.
        drawn_by: images of which fewer raters drew a class that counts are left out.
    """

    source: str
    overlap: Overlap = iou
    absent: float = 1.0
    classes: tuple[int, ...] | None = None
    self_pairs: bool = True
    readings: int | None = None
    absent_is_empty: bool = False
    raters: int = 1
    drawn_by: int = 0


OURS = Convention("probseg.analysis.energy.generalized_energy_distance")
"""Every rater who looked, every image, every reading; a class absent from both counts 1; self-pairs included."""

PROBABILISTIC_UNET_2018 = Convention(
    "Kohl et al. 2018, arXiv:1806.05034, LIDC",
    readings=16,
    absent_is_empty=True,
    raters=4,
    drawn_by=1,
)
"""Prob U-Net on LIDC crops. Foreground IoU, two empty masks at distance 0, and self-pairs included.

That two empty masks lie at distance 0 is taken from later papers that quote this one (inferred). The crops
have four masks each, of which a reader who did not outline the lesion gives an empty one, and at least one is not
empty. Ours leaves out a reader who is absent. That 16 readings, the most that the paper plots, are the ones to
compare with is inferred: its code for LIDC is not released.
"""

PROBABILISTIC_UNET_2018_CITYSCAPES = Convention(
    "Kohl et al. 2018, github.com/SimonKohl/probabilistic_unet, evaluation/eval_cityscapes.py",
    absent=math.nan,
    readings=16,
)
"""Prob U-Net on Cityscapes. A class that is in neither map is NaN and left out of the mean over classes.

Ours counts it as 1, which among many classes makes everything look alike. There ``classes`` are the ten that are
switched at random: give them with `dataclasses.replace`. The code weights the 32 masks by their probability; repeat a
mask in its share to have that. A pair without any class makes a mean NaN there, but among raters is left out; here it
is always left out. The number of readings is inferred.
"""

HPU_NET_2019 = replace(
    PROBABILISTIC_UNET_2018, source="Kohl et al. 2019, arXiv:1905.13077, LIDC; released crops and their description"
)
"""HPU-Net on LIDC crops: as Prob U-Net, with HM-IoU of 16 readings beside GED, each mask matched by four of them.

The released crops are around what at least one of four readers outlined. That two empty masks count 1 in HM-IoU too is
inferred: the code of the evaluation is not released.
"""

HPU_NET_2019_SUBSET_B = replace(HPU_NET_2019, drawn_by=4)
"""The images on which all four readers drew (inferred from the paper's description of its subset B).

Ours leaves out no image. Figures of the subset are not comparable with those of all: nobody disagrees on presence.
"""

PHISEG_2019 = Convention(
    "Baumgartner et al. 2019, arXiv:1906.04045, github.com/baumgach/PHiSeg-code, utils.py",
    readings=100,
    absent_is_empty=True,
    raters=4,
    drawn_by=1,
)
"""PHiSeg on LIDC crops. Mean IoU over foreground labels: 1 where a label is in neither, 0 where it is in one.

Self-pairs are included. The released script draws 50 readings, but the plots of the paper read files of 100. The four
masks of a crop as in `PROBABILISTIC_UNET_2018`. Otherwise ours.
"""

SSN_2020 = Convention(
    "Monteiro et al. 2020, arXiv:2006.06015, github.com/MiguelMonteiro/PHiSeg-code, phiseg_full_evaluation.py, and "
    "github.com/biomedia-mira/stochastic_segmentation_networks, running_probability_distribution.py",
    readings=100,
    absent_is_empty=True,
    raters=4,
    drawn_by=1,
)
"""SSN on LIDC crops: PHiSeg's GED by PHiSeg's code, 100 readings.

On BraTS its code compares the first 20 readings with the one mask: ``replace(SSN_2020, readings=20, raters=1)``. Its
"diversity" is the mean over all pairs of readings, self-pairs included; ours is of distinct ones.
"""

CCDM_2023 = Convention(
    "Zbinden et al. 2023, arXiv:2303.08888, github.com/LarsDoorenbos/ccdm-stochastic-segmentation, "
    "evaluation/evaluate_lidc_uncertainty.py",
    readings=100,
    absent_is_empty=True,
    raters=4,
    drawn_by=1,
)
"""CCDM on LIDC crops. NaN becomes an IoU of 1, background is left out, self-pairs are included.

HM-IoU is of both sets repeated to their least common multiple, as ours. The code reports several numbers of readings
in one run, 100 the most (inferred): for another, ``replace(CCDM_2023, readings=16)``. Its test set may be cut to the
first 500 images by a setting, which no convention of an image can say.
"""


def conventional_energy_distance(
    readings: NDArray, masks: NDArray, num_classes: int, convention: Convention, rated: NDArray | None = None
) -> float:
    """GED as a paper computes it; `OURS` is `probseg.analysis.energy.generalized_energy_distance`.

    Args:
        readings: S, ``(N, *space)`` integer label maps.
        masks: Y, ``(M, *space)`` integer label maps; labels outside ``0..num_classes-1`` count as not rated.
        num_classes: C, background included.
        convention: such as `PHISEG_2019`.
        rated: ``(M, *space)`` booleans, None for everywhere.

    Returns:
        NaN for an image that the convention leaves out, and where nothing is left to compare.

    Raises:
        ProbsegError: E_ARGUMENT for fewer readings than the convention asks, or for classes that there are not.

    Example:
        >>> readings, masks = np.zeros((2, 4), int), np.array([[1, 1, 0, 0], [0, 0, 0, 0]])
        >>> [conventional_energy_distance(readings, masks, 2, replace(OURS, absent=a)) for a in (1.0, 0.0)]
        [0.5, 0.25]
    """
    found = _similarities(readings, masks, num_classes, convention, rated)
    if found is None:
        return math.nan
    between, within_s, within_y = found
    mean = mean_of_known if convention.self_pairs else _mean_distinct
    return float(2.0 * (1.0 - mean_of_known(between)) - (1.0 - mean(within_s)) - (1.0 - mean(within_y)))


def conventional_matched_overlap(
    readings: NDArray, masks: NDArray, num_classes: int, convention: Convention, rated: NDArray | None = None
) -> float:
    """HM-IoU (or matched Dice) as a paper computes it; arguments as for `conventional_energy_distance`.

    NaN also where a pair has no overlap, since it can then be matched with nothing.
    """
    found = _similarities(readings, masks, num_classes, convention, rated)
    return math.nan if found is None or np.isnan(found.sy).any() else matched_similarity(found.sy)


def _similarities(
    readings: NDArray, masks: NDArray, num_classes: int, convention: Convention, rated: NDArray | None
) -> Similarities | None:
    """Overlaps of all pairs that count; None for an image that does not."""
    classes = tuple(range(1, num_classes)) if convention.classes is None else convention.classes
    _check(convention, len(readings), classes, num_classes)
    if convention.absent_is_empty:
        masks, rated = _absent_as_empty(masks, num_classes, rated)
    pairs = pair_counts(readings[: convention.readings], masks, num_classes, rated).of_classes(classes)
    if pairs.num_raters < convention.raters or _drew(pairs) < convention.drawn_by:
        return None
    return pairs.similarities(convention.overlap, convention.absent)


def _check(convention: Convention, readings: int, classes: tuple[int, ...], num_classes: int) -> None:
    if readings < (convention.readings or 0):
        raise ProbsegError(
            "E_ARGUMENT",
            f"the convention of {convention.source} counts {convention.readings} readings, but there are {readings}; "
            "draw more, or say how many with dataclasses.replace(convention, readings=...)",
        )
    strange = [c for c in classes if not 0 < c < num_classes]
    if strange:
        raise ProbsegError(
            "E_ARGUMENT", f"classes of a convention must be labels in 1..{num_classes - 1}, but {strange[0]} is not"
        )


def _absent_as_empty(masks: NDArray, num_classes: int, rated: NDArray | None) -> tuple[NDArray, NDArray | None]:
    known = (masks >= 0) & (masks < num_classes)
    known = known if rated is None else known & rated
    absent = ~known.any(axis=tuple(range(1, masks.ndim)), keepdims=True)
    return np.where(absent, 0, masks), None if rated is None else rated | absent


def _drew(pairs: PairCounts) -> int:
    """How many raters drew a class that counts."""
    own = np.diagonal(pairs.counts.both)[:, pairs.num_readings :]  # (classes, raters)
    return int((own > 0).any(axis=0).sum())


def _mean_distinct(similarity: NDArray[np.float64]) -> float:
    if not np.isnan(similarity).any():
        return mean_distinct(similarity)
    return mean_of_known(similarity[~np.eye(len(similarity), dtype=bool)])
