"""Calibration over a stream of any length in fixed memory: case after case, slab after slab, site after site."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.calibration.classwise import cell_counts, equal_mass_gaps
from probseg.analysis.calibration.scores import class_score_sums, score_sums
from probseg.analysis.calibration.top_class import (
    calibration_counts,
    expected_calibration_error,
    maximum_calibration_error,
)

__all__ = ["CalibrationSums", "calibration_sums"]


class CalibrationSums:
    """The sums that every calibration figure is made of; ``a + b`` is what both saw together.

    Their size depends on the numbers of classes and bins alone (1.5 MB a class), however many voxels they saw. Counts
    are whole numbers in float64, exact up to 2^53 trials.

    Attributes:
        top: ``(bins, 3)`` of `calibration_counts`.
        cells: ``(classes, cells, 3)`` of `cell_counts`.
        scores: ``(4,)`` of `score_sums`.
        classes: ``(classes, 2)`` of `class_score_sums`.
    """

    def __init__(self, top: NDArray, cells: NDArray, scores: NDArray, classes: NDArray) -> None:
        self.top, self.cells, self.scores, self.classes = top, cells, scores, classes

    def __add__(self, other: CalibrationSums) -> CalibrationSums:
        return CalibrationSums(
            self.top + other.top,
            self.cells + other.cells,
            self.scores + other.scores,
            self.classes + other.classes,
        )

    def figures(self, bins: int = 15) -> Mapping[str, float]:
        """``ece``, ``mce``, ``ace``, ``brier`` and ``nll`` of all trials together; NaN where there was none.

        Args:
            bins: of equal mass, for ``ace``.
        """
        nothing = np.full(2, np.nan)
        brier, nll = np.divide(self.scores[::2], self.scores[1::2], out=nothing, where=self.scores[1::2] > 0)
        return {
            "ece": float(expected_calibration_error(self.top)),
            "mce": float(maximum_calibration_error(self.top)),
            "ace": float(equal_mass_gaps(self.cells, bins).mean()),
            "brier": float(brier),
            "nll": float(nll),
        }

    def of_classes(self, bins: int = 15) -> Mapping[str, NDArray[np.float64]]:
        """``ace`` and ``brier`` of each class against the rest, ``(classes,)`` each; NaN where there was no trial."""
        squares, trials = self.classes.T
        brier = np.divide(squares, trials, out=np.full(len(trials), np.nan), where=trials > 0)
        return {"ace": equal_mass_gaps(self.cells, bins), "brier": brier}


def calibration_sums(
    probabilities: NDArray,
    masks: NDArray,
    rated: NDArray | None = None,
    region: NDArray | None = None,
    admissible: NDArray | None = None,
    bins: int = 15,
    fineness: int = 11,
) -> CalibrationSums:
    """The sums of one case, or of a part of one.

    A rater alone is a mask alone (with the region of all raters), a site the sum over its cases.

    Args:
        probabilities: ``(classes, *space)``.
        masks: ``(raters, *space)`` dense labels.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        region: ``space`` booleans, None for the whole image; `probseg.analysis.region.union_region` makes the usual.
        admissible: ``(labels, classes)`` booleans for groups in ``nll``, None for classes alone.
        bins: of equal width, for ``ece`` and ``mce``.
        fineness: of the cells that stand for bins of equal mass, see `cells_of`.

    Raises:
        ProbsegError: E_NONFINITE, E_SHAPE_MISMATCH.

    Example:
        >>> case = calibration_sums(np.array([[0.3], [0.7]]), np.array([[1], [1], [1], [0]]))
        >>> round((case + case).figures()["ece"], 3)
        0.05
    """
    return CalibrationSums(
        calibration_counts(probabilities, masks, rated, region, bins),
        cell_counts(probabilities, masks, rated, region, fineness),
        score_sums(probabilities, masks, rated, region, admissible),
        class_score_sums(probabilities, masks, rated, region),
    )
