"""Whether a predicted 0.7 is chosen by 70 % of the raters.

The event is "a rater says class c here": each rated (voxel, rater) is one trial (rater-marginal calibration).
"""

from __future__ import annotations

from probseg.analysis.calibration.classwise import (
    cell_counts,
    classwise_calibration_error,
    classwise_gaps,
    equal_mass_gaps,
)
from probseg.analysis.calibration.scores import brier_score, class_score_sums, negative_log_likelihood, score_sums
from probseg.analysis.calibration.streaming import CalibrationSums, calibration_sums
from probseg.analysis.calibration.top_class import (
    calibration_counts,
    calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
    reliability_curve,
)

__all__ = [
    "CalibrationSums",
    "brier_score",
    "calibration_counts",
    "calibration_error",
    "calibration_sums",
    "cell_counts",
    "class_score_sums",
    "classwise_calibration_error",
    "classwise_gaps",
    "equal_mass_gaps",
    "expected_calibration_error",
    "maximum_calibration_error",
    "negative_log_likelihood",
    "reliability_curve",
    "score_sums",
]
