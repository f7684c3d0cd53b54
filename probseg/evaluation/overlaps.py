"""How the most probable mask and the mean map overlap with the raters, whole and class by class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import as_pairs
from probseg.analysis.known import mean_of_known
from probseg.analysis.overlap import dice, iou, joint_histogram, overlap_counts, structure_counts
from probseg.analysis.softdice import soft_dice
from probseg.evaluation.case import EvaluatedCase
from probseg.evaluation.group import FigureGroup, FigureName, OfColumns, means

__all__ = ["ModeOverlaps"]


class ModeOverlaps(FigureGroup):
    """``dice`` and ``iou`` of the mode with each rater, and ``soft_dice`` of the mean with the raters' mean.

    Mean over raters and foreground classes of a case, then over cases; pairs that are both empty are left out. Then
    ``dice`` and ``iou`` once more for every class and group, over raters and then over cases.
    """

    @property
    def figures(self) -> Mapping[FigureName, OfColumns]:
        """Of all classes together, then of every class and group."""
        names = [FigureName("dice"), FigureName("iou"), FigureName("soft_dice")]
        names += [FigureName(m, s) for s in self.labels.structures for m in ("dice", "iou")]
        return means(names)

    def statistics(self, case: EvaluatedCase) -> NDArray[np.float64]:
        """Each figure as a value and a count."""
        classes, mode, mean = self.labels.num_classes, case.prediction.mode, case.prediction.mean
        counts = overlap_counts(mode[None], case.masks, classes, None, case.rated)
        row = [
            *(mean_of_known(f(counts)[0, :, 1:]) for f in (dice, iou)),
            soft_dice(mean, case.masks, rated=case.rated),
        ]
        joints = [
            joint_histogram(mode[looked], mask[looked], len(self.labels.values))
            for mask, looked in zip(case.masks, case.rated, strict=True)
        ]
        for structure in self.labels.structures:
            member = self.labels.membership(structure)
            found = [structure_counts(joint, member) for joint in joints]
            row += [mean_of_known([float(f(counts)) for counts in found]) for f in (dice, iou)]
        return as_pairs(np.array([row]))[0]
