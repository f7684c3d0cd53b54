"""The evaluation of QUBIQ: Dice of the raters' mean map and the predicted map, at levels of probability.

Quantification of Uncertainties in Biomedical Image Quantification, MICCAI 2020 and 2021; Li et al. (2024),
arXiv:2405.18435, and qubiq.grand-challenge.org/participation.
"""

from __future__ import annotations

from numpy.typing import NDArray

from probseg.analysis.softdice import soft_dice

__all__ = ["level_dice"]


def level_dice(probability: NDArray, masks: NDArray, rated: NDArray | None = None, at_least: bool = True) -> float:
    """Dice of the mean prediction and the mean of the raters at the levels .1, .2, ... .9, averaged.

    Published is: the continuous label is the mean of the experts' masks, it and the prediction are thresholded at
    predefined levels, and the Dice scores of the levels are averaged. The script was not at hand, so three things
    are assumed here: that the levels are those nine; that a voxel whose value is the level belongs to it, which for six
    raters decides on every voxel that three of them drew; and that two empty maps score 1. `soft_dice` leaves such
    voxels and such levels out. No other figure of the challenge's ranking is known to us.

    Args:
        probability: ``space``, of the structure.
        masks: ``(raters, *space)`` integer label maps, 0 outside; any number of raters.
        rated: ``(raters, *space)`` booleans, None for everywhere.
        at_least: False for values greater than the level only.

    Returns:
        0..1; 1 where nobody drew anything and nothing is predicted, NaN where nobody looked at anything.

    Example:
        >>> import numpy as np
        >>> masks = np.array([[1, 1, 0], [1, 0, 0]])
        >>> [round(level_dice(np.array([0.9, 0.5, 0.0]), masks, at_least=a), 3) for a in (True, False)]
        [1.0, 0.889]
    """
    return soft_dice(probability, masks, rated=rated, at_least=at_least, both_empty=1.0)
