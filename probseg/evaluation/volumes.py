"""How well the predicted distribution of volumes fits what raters drew."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.overlap import iou
from probseg.analysis.volume_scores import CaseVolumes, case_statistics, columns
from probseg.analysis.volume_structures import VolumeStructures
from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.group import FigureGroup, FigureName, OfColumns, means

__all__ = ["PredictedVolumes", "case_volumes", "drawn_ml"]


def drawn_ml(case: EvaluatedCase) -> NDArray[np.float64]:
    """``(raters, structures)`` mL that every rater drew, in the order of ``labels.structures``; NaN where undefined."""
    found = VolumeStructures.of(case.labels).of_raters(case.masks, case.rated, case.voxel_ml)
    return found[:, : len(case.labels.structures)]


def case_volumes(case: EvaluatedCase) -> CaseVolumes:
    """Volumes of every class and group and of the headline, as `probseg.analysis.volume_scores` takes them."""
    structures = VolumeStructures.of(case.labels)
    leaves = case.prediction.draws_ml[:, : case.labels.num_classes - 1]  # classes come first, without background
    predicted = structures.of_draws(np.concatenate([np.zeros((len(leaves), 1)), leaves], axis=1))
    observed = structures.of_raters(case.masks, case.rated, case.voxel_ml)
    overlap = iou(structures.headline_overlap(case.prediction.mode, case.masks, case.rated))
    return CaseVolumes(predicted, observed, case.voxel_ml, overlap)


class PredictedVolumes(FigureGroup):
    """Error, CRPS, coverage of intervals and their width, of every class and group and of the headline structure.

    Defined in `probseg.analysis.volume_scores`; the headline has no name beside its figures. Undefined without
    millimetres. `volume_error` and `opacity_iou` are the study's two.
    """

    @property
    def figures(self) -> Mapping[FigureName, OfColumns]:
        """Of every structure in turn, the headline last."""
        names = columns(VolumeStructures.of(self.labels).names)
        return means(FigureName(*name) for name in names)

    def statistics(self, case: EvaluatedCase) -> NDArray[np.float64]:
        """Sums whose ratios are the figures; 0 where undefined."""
        return np.nan_to_num(case_statistics(case_volumes(case)), nan=0.0).ravel()
