"""Within which volumes a rater's is expected to lie, from the volumes of a model's draws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, pdtr

from probseg.errors import ProbsegError

__all__ = ["LEVELS", "rater_volumes_expected", "volume_intervals"]

LEVELS = (50, 80, 95)
"""Percent of raters that an interval is meant to hold."""

_POINTS = 32  # quantiles that stand for what raters of one draw may find
_FEW_VOXELS = 20.0  # below, a Poisson distribution is counted out; above, a normal one with its skewness is near
_MOST = 48  # of 20 expected voxels fewer than one draw in 10^6 has more


def rater_volumes_expected(draws: ArrayLike, voxel: float) -> NDArray[np.float64]:
    """What raters may find if each draw's volume is the one to be expected of them.

    The volume of a draw is a sum of probabilities, and a rater counts whole voxels. Of independent voxels the count
    has variance ``sum p (1 - p)``, never above ``sum p``, the variance of a Poisson distribution of the same mean; in a
    structure of thousands of voxels either is nothing beside what raters differ by. In one of a few voxels, or in none,
    it is all there is: an expectation of 0.3 voxels is most often a rater's 0, which no draw ever is.

    Args:
        draws: ``(draws, ...)`` volumes, sums of probability.
        voxel: volume of a voxel in the same unit, above 0.

    Returns:
        ``(draws, 32, ...)``: of each draw 32 equally likely volumes, whole voxels.
    """
    mean = np.asarray(draws, dtype=np.float64)[:, None] / voxel
    share = ((np.arange(_POINTS) + 0.5) / _POINTS).reshape(-1, *(1,) * (mean.ndim - 2))
    z = ndtri(share)
    volumes = np.rint(mean + np.sqrt(mean) * z + (z**2 - 1) / 6)
    few = mean[:, 0] < _FEW_VOXELS
    below = pdtr(np.arange(_MOST), mean[:, 0][few][:, None])  # (few, voxels): how likely at most so many are
    counts = (below[:, None] < share.reshape(-1, 1)).sum(axis=2)  # (few, points)
    np.moveaxis(volumes, 1, -1)[few] = counts
    return volumes * voxel


def volume_intervals(
    draws: ArrayLike, levels: Sequence[float] = LEVELS, voxel: float | None = None
) -> NDArray[np.float64]:
    """Central intervals that are meant to hold so many percent of the volumes that raters find.

    If a rater is one more draw, all ``S + 1`` are exchangeable and the q-th quantile is the draw at place ``q (S + 1)``
    in order (Weibull; Hyndman and Fan 1996, doi:10.1080/00031305.1996.10473566, type 6). Interpolation between the
    extremes, type 7, is too narrow: of 16 draws its 95 % interval holds 84 % of raters, and of 100 draws 93 %. No
    interval reaches beyond the draws, so S of them hold ``(S - 1) / (S + 1)`` of raters at most: 88 % for 16, and
    39 are the fewest that give 95 %.

    Volumes are sums of probability and not those of label maps: where several classes share the probability, background
    alone wins a voxel that is most likely foreground, and intervals of such maps lie too low. Raters' whole voxels
    spread about such a sum; with ``voxel`` that is part of the interval, see `rater_volumes_expected`. Simulated raters
    who are draws of the model are then held as often as promised from 0.05 voxels to 10^4, or more often (volumes in
    whole voxels cannot be halved); without it 11 % of those who find two voxels are, where 95 % are promised.

    Args:
        draws: ``(draws, ...)`` volumes of the draws.
        levels: percent, above 0 and below 100.
        voxel: volume of a voxel in the same unit; None for what lies between draws alone.

    Returns:
        ``(levels, 2, ...)``: low and high in the unit of ``draws``; NaN with fewer than two draws, which have no
        spread, and where a draw is NaN.

    Raises:
        ProbsegError: E_ARGUMENT for a level or a voxel that is none.

    Example:
        >>> volume_intervals(np.arange(1.0, 100.0), [80]).round(9).tolist()
        [[10.0, 90.0]]
    """
    volumes = np.asarray(draws, dtype=np.float64)
    if not all(0 < level < 100 for level in levels):
        raise ProbsegError("E_ARGUMENT", f"levels of intervals must lie between 0 and 100 percent, but are {levels}")
    if voxel is not None and not voxel > 0:
        raise ProbsegError("E_ARGUMENT", f"voxel must be a volume above 0, but is {voxel}; None leaves it out")
    num = len(volumes)
    if num < 2:
        return np.full((len(levels), 2, *volumes.shape[1:]), math.nan)
    unknown = np.isnan(volumes).any(axis=0)
    volumes = np.where(unknown, 0.0, volumes)
    if voxel is not None:
        volumes = rater_volumes_expected(volumes, voxel).reshape(num * _POINTS, *volumes.shape[1:])
    tails = (1 - np.asarray(levels, dtype=np.float64) / 100) / 2
    # Place q (S + 1) among S draws is, by Hazen's rule, this share of them however finely each draw is cut.
    shares = np.clip((np.stack([tails, 1 - tails], axis=1) * (num + 1) - 0.5) / num, 0, 1)
    return np.where(unknown, math.nan, np.quantile(volumes, shares, axis=0, method="hazen"))
