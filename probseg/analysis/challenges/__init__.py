"""What challenges on the masks of several raters measured, as their published evaluations do; a file a challenge."""

from __future__ import annotations

from probseg.analysis.challenges.curvas import (
    consensus_confidence,
    consensus_dice,
    consensus_dice_of_lines,
    gaussian_volume_crps,
    rater_calibration_errors,
    trunk,
)
from probseg.analysis.challenges.qubiq import level_dice

__all__ = [
    "consensus_confidence",
    "consensus_dice",
    "consensus_dice_of_lines",
    "gaussian_volume_crps",
    "level_dice",
    "rater_calibration_errors",
    "trunk",
]
