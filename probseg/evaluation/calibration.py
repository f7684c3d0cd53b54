"""Whether what the model says with 70 % is what 70 % of the raters say: in the region, whole, and class by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import Figure, ratio
from probseg.analysis.calibration import (
    CalibrationSums,
    calibration_counts,
    calibration_sums,
    equal_mass_gaps,
    expected_calibration_error,
    maximum_calibration_error,
    score_sums,
)
from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.group import FigureGroup, FigureName, OfColumns

__all__ = ["BINS", "RaterCalibration", "Reliability", "rater_counts"]

BINS = 15
_FINENESS = 4  # 512 cells a class stand for bins of equal mass; a thousand cases then fit in memory
_CELLS = 32 << _FINENESS


class Reliability(NamedTuple):
    """Sums over cases for curves, ``(bins, 3)`` each: summed probability, hits, trials.

    ``classes`` is ``(classes, bins, 3)``, each class against the rest: of cells that lie in a bin with their mean.
    """

    region: NDArray[np.float64]
    image: NDArray[np.float64]
    classes: NDArray[np.float64]


class RaterCalibration(FigureGroup):
    """``ece``, ``mce``, ``ace``, ``brier`` and ``nll`` in the region, ``ace`` of every class, and ``..._image`` whole.

    Defined in `probseg.analysis.calibration`. ECE, MCE and ACE are of the trials of all cases together; Brier and NLL a
    trial are means over cases, so that no large lesion drowns the others. The region is `EvaluatedCase.region`.
    """

    @property
    def figures(self) -> Mapping[FigureName, OfColumns]:
        """In the region, of every class, then of the whole image."""
        parts = self._parts()
        classes = self.labels.num_classes

        def ace(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(equal_mass_gaps(sums.reshape(*sums.shape[:-1], classes, _CELLS, 3), BINS).mean(axis=-1))

        def ace_of_one(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            return equal_mass_gaps(sums.reshape(*sums.shape[:-1], _CELLS, 3), BINS)

        top = {"ece": expected_calibration_error, "mce": maximum_calibration_error}
        out = {FigureName(name): OfColumns(parts["top"], _of_bins(f)) for name, f in top.items()}
        out[FigureName("ace")] = OfColumns(parts["cells"], ace)
        out |= {FigureName(name): OfColumns(parts[name], ratio) for name in ("brier", "nll")}
        size, start = _CELLS * 3, parts["cells"].start
        for k, name in enumerate(self.labels.names):
            own = slice(start + k * size, start + (k + 1) * size)
            out[FigureName("ace", name)] = OfColumns(own, ace_of_one)
        out |= {FigureName(f"{name}_image"): OfColumns(parts["top_image"], _of_bins(f)) for name, f in top.items()}
        return out | {FigureName(f"{n}_image"): OfColumns(parts[f"{n}_image"], ratio) for n in ("brier", "nll")}

    def _parts(self) -> dict[str, slice]:
        sizes = {
            "top": BINS * 3,
            "cells": self.labels.num_classes * _CELLS * 3,
            "brier": 2,
            "nll": 2,
            "top_image": BINS * 3,
            "brier_image": 2,
            "nll_image": 2,
        }
        ends = np.cumsum([0, *sizes.values()]).tolist()
        return {name: slice(ends[k], ends[k + 1]) for k, name in enumerate(sizes)}

    def statistics(self, case: EvaluatedCase) -> NDArray[np.float64]:
        """The sums of the region, then of the whole image."""
        mean, admissible = case.prediction.mean, self.labels.admissible
        inside: CalibrationSums = calibration_sums(
            mean, case.masks, case.rated, case.region, admissible, BINS, _FINENESS
        )
        top = calibration_counts(mean, case.masks, case.rated, None, BINS)
        scores = score_sums(mean, case.masks, case.rated, None, admissible)
        parts = (inside.top, inside.cells, _a_trial(inside.scores), top, _a_trial(scores))
        return np.concatenate([part.ravel() for part in parts])

    def reliability(self, sums: NDArray[np.float64]) -> Reliability:
        """Curves of summed statistics ``(k,)``."""
        parts = self._parts()
        cells = sums[parts["cells"]].reshape(self.labels.num_classes, _CELLS, 3)
        curves = np.zeros((len(cells), BINS, 3))
        for curve, own in zip(curves, cells, strict=True):
            asked = own[:, 2] > 0
            place = np.minimum((own[asked, 0] / own[asked, 2] * BINS).astype(np.intp), BINS - 1)
            np.add.at(curve, place, own[asked])
        region, image = (sums[parts[name]].reshape(BINS, 3) for name in ("top", "top_image"))
        return Reliability(region, image, curves)


def _of_bins(figure: Figure) -> Figure:
    def of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(figure(sums.reshape(*sums.shape[:-1], BINS, 3)))

    return of


def _a_trial(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Summed scores and their trials as two means with a count of one case each; 0 where there was no trial."""
    known = scores[1::2] > 0
    mean = np.divide(scores[::2], scores[1::2], out=np.zeros(2), where=known)
    return np.stack([mean, known.astype(np.float64)], axis=1)


def rater_counts(case: EvaluatedCase) -> dict[str, NDArray[np.float64]]:
    """``(bins, 3)`` of each rater alone, in the region of all raters."""
    mean = case.prediction.mean
    return {
        rater: calibration_counts(mean, case.masks[k : k + 1], case.rated[k : k + 1], case.region, BINS)
        for k, rater in enumerate(case.raters)
    }
