"""One case with what a model predicted for it beside what its raters drew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.region import union_region
from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.io.predicted_distribution import PredictedDistribution
from probseg.labels import LabelSet

__all__ = ["EvaluatedCase"]


@dataclass(frozen=True, eq=False)
class EvaluatedCase:
    """What every figure of ``probseg evaluate`` is made from; held for one case at a time.

    Attributes:
        case_id, patient_id, site: as the dataset has them.
        labels: the label set.
        raters: names, in the order of ``masks``; only those who rated anything.
        masks: ``(raters, *space)`` dense labels.
        rated: ``(raters, *space)`` booleans.
        spacing_mm: along each axis of space; None where unknown.
        voxel_ml: volume of a voxel; NaN where unknown.
        prediction: what the model says.
    """

    case_id: str
    patient_id: str
    site: str
    labels: LabelSet
    raters: tuple[str, ...]
    masks: NDArray[np.uint8]
    rated: NDArray[np.bool_]
    spacing_mm: tuple[float, ...] | None
    voxel_ml: float
    prediction: PredictedDistribution

    @classmethod
    def of(cls, case: Case, prediction: PredictedDistribution, labels: LabelSet) -> EvaluatedCase:
        """Put the two side by side.

        Raises:
            ProbsegError: E_SHAPE_MISMATCH where the prediction is of another size.
        """
        if prediction.mode.shape != case.geometry.shape:
            raise ProbsegError(
                "E_SHAPE_MISMATCH",
                f"the prediction of case '{case.case_id}' has shape {prediction.mode.shape}, but the case has "
                f"{case.geometry.shape}; predict it again",
            )
        masks, rated = case.stacked()
        present = np.asarray(rated.any(axis=tuple(range(1, rated.ndim))))
        return cls(
            case.case_id,
            case.patient_id,
            case.site,
            labels,
            tuple(rater for rater, looked in zip(case.masks, present, strict=True) if looked),
            masks[present],
            rated[present],
            case.geometry.spacing,
            case.geometry.voxel_volume_ml,
            prediction,
        )

    @cached_property
    def region(self) -> NDArray[np.bool_]:
        """``space``: foreground of any rater or of the mode, grown by 5 mm."""
        return union_region(self.masks, self.prediction.mode, self.labels.num_classes, self.rated, self.spacing_mm)

    def of_raters(self, positions: Sequence[int]) -> EvaluatedCase:
        """The same case with some of its raters only."""
        chosen = list(positions)
        names = tuple(self.raters[k] for k in chosen)
        return replace(self, raters=names, masks=self.masks[chosen], rated=self.rated[chosen])

    def seen_as(self, prediction: PredictedDistribution, rated: NDArray[np.bool_]) -> EvaluatedCase:
        """The same case with another prediction, compared where ``rated`` says; raters without voxels are left out."""
        present = np.flatnonzero(rated.reshape(len(rated), -1).any(axis=1))
        return replace(self, prediction=prediction, rated=rated).of_raters(present.tolist())
