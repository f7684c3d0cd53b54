"""How well predicted volumes fit those that raters found: error, CRPS, coverage, and the headline figures.

A case is a scan and not a slice: slices add up before any figure is taken. Every figure is a ratio of sums over cases,
so that several processes and a bootstrap over patients need no case twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import Interval, bootstrap_columns
from probseg.analysis.known import mean_of_known
from probseg.analysis.volume_intervals import LEVELS, volume_intervals
from probseg.analysis.volumes import crps

__all__ = [
    "HEADLINE_FIGURES",
    "OPACITY_IOU",
    "VOLUME_FIGURES",
    "CaseVolumes",
    "VolumeFigure",
    "case_statistics",
    "columns",
    "figures_of_statistics",
    "volume_figures",
    "volume_statistics",
]

VOLUME_FIGURES = (
    "volume_error",
    "volume_error_size",
    "volume_bias",
    "volume_crps",
    *(f"coverage_{level}" for level in LEVELS),
    *(f"width_{level}" for level in LEVELS),
    "within_range",
)
"""Names of the figures of each structure, in the order of `volume_statistics`."""

OPACITY_IOU = "opacity_iou"

HEADLINE_FIGURES = (*VOLUME_FIGURES, OPACITY_IOU)
"""Names of the figures of the headline structure of `VolumeStructures`."""

_SLACK = 1e-6  # of a voxel: six voxels lie within an interval that ends at six, however either was multiplied


@dataclass(frozen=True, eq=False)
class CaseVolumes:
    """Volumes of one case, of the structures of `VolumeStructures`.

    Attributes:
        predicted: ``(draws, structures)`` mL, of each draw the sum of its probabilities; in voxels where the size of a
            voxel is not known. NaN leaves the structure out.
        observed: ``(raters, structures)`` in the same unit, NaN where a rater did not look at all of the case or a
            label leaves the structure open.
        voxel_ml: volume of a voxel, mL; NaN where unknown, and figures in mL are then undefined.
        overlap: ``(raters,)`` IoU of the headline, the last structure; NaN where undefined, as where both are empty.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    voxel_ml: float
    overlap: NDArray[np.float64]


@dataclass(frozen=True)
class VolumeFigure:
    """One figure over cases.

    Attributes:
        metric: its name, of `HEADLINE_FIGURES`.
        structure: class or group; empty for the headline structure.
        site: where the cases come from; empty for all of them.
        interval: value, 95 % interval over patients and number of cases.
    """

    metric: str
    structure: str
    site: str
    interval: Interval


def volume_statistics(case: CaseVolumes) -> NDArray[np.float64]:
    """What the figures of a case are made of, ``(structures, figures, 2)``: add up over cases, then divide.

    With P the mean of the draws' volumes and R the mean of the raters':

    - ``volume_error``: ``(P - R) / R``, signed, mean over cases; ``volume_error_size`` is the mean of its size. R is 0
      where nobody drew anything: undefined, and such a case is not counted.
    - ``volume_bias``: ``(sum P - sum R) / sum R``, the ratio of sums, to which cases without the structure add.
    - ``volume_crps``: mL, `probseg.analysis.volumes.crps` of the draws against the raters, mean over cases.
    - ``coverage_50`` and so on: share of all raters' volumes inside the interval, `volume_intervals` with the spread of
      whole voxels; ``width_50``: its width in mL, mean over cases. Undefined with a single draw.
    - ``within_range``: share of cases where P lies between the least and the greatest rater's volume; of those that at
      least two raters read.

    Raters whose volume is NaN are left out; a figure that is then undefined is NaN in both places.
    """
    structures = case.predicted.shape[1]
    known_ml, unit = math.isfinite(case.voxel_ml), case.voxel_ml if math.isfinite(case.voxel_ml) else 1.0
    ends = volume_intervals(case.predicted, LEVELS, unit)  # (levels, 2, structures)
    out = np.full((structures, len(VOLUME_FIGURES), 2), math.nan)
    for k in range(structures):
        draws, raters = case.predicted[:, k], case.observed[:, k]
        raters = raters[~np.isnan(raters)]
        if not len(raters) or np.isnan(draws).any():
            continue
        low, high = ends[:, :1, k], ends[:, 1:, k]  # (levels, 1)
        out[k] = _figures(draws, raters, low, high, _SLACK * unit, known_ml)
    return out


def _figures(
    draws: NDArray[np.float64], raters: NDArray[np.float64], low: NDArray, high: NDArray, slack: float, known_ml: bool
) -> NDArray[np.float64]:
    """``(figures, 2)`` of one structure of one case; ``low`` and ``high`` are ``(levels, 1)``."""
    predicted, mean, nothing = float(draws.mean()), float(raters.mean()), (math.nan, math.nan)
    error = (predicted - mean) / mean if mean > 0 else math.nan
    held = ((low - slack <= raters) & (raters <= high + slack)).sum(axis=1)
    spread = len(draws) > 1
    return np.array(
        [
            (error, 1.0) if mean > 0 else nothing,
            (abs(error), 1.0) if mean > 0 else nothing,
            (predicted - mean, mean) if known_ml else nothing,
            (crps(draws, raters), 1.0) if known_ml else nothing,
            *((float(h), float(len(raters))) if spread else nothing for h in held),
            *((float(w), 1.0) if spread and known_ml else nothing for w in (high - low)[:, 0]),
            (float(raters.min() <= predicted <= raters.max()), 1.0) if len(raters) > 1 else nothing,
        ]
    )


def case_statistics(case: CaseVolumes) -> NDArray[np.float64]:
    """``(columns, 2)``: every figure of each structure in turn, then the mean IoU of the headline over raters."""
    overlap = mean_of_known(case.overlap)
    last = (overlap, math.nan if math.isnan(overlap) else 1.0)
    return np.concatenate([volume_statistics(case).reshape(-1, 2), [last]])


def columns(names: Sequence[str]) -> list[tuple[str, str]]:
    """Metric and structure of each column of `case_statistics`, for the names of `VolumeStructures`."""
    return [*((metric, name) for name in names for metric in VOLUME_FIGURES), (OPACITY_IOU, names[-1])]


def volume_figures(
    cases: Sequence[CaseVolumes],
    names: Sequence[str],
    patients: Sequence[str] | NDArray,
    sites: Sequence[str] | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> list[VolumeFigure]:
    """Every figure of every structure over cases, and over the cases of each site where there are several.

    Args:
        cases: their volumes.
        names: of the structures, as `VolumeStructures.names`: the last is the headline.
        patients: ``(cases,)`` the patient of each case, the unit of the bootstrap.
        sites: ``(cases,)``, empty where unknown; None for no figures of sites.
        samples: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        Figures in the order of sites, structures and `VOLUME_FIGURES`; NaN with n = 0 where undefined throughout.
    """
    table = np.array([case_statistics(case) for case in cases]).reshape(len(cases), len(columns(names)), 2)
    return figures_of_statistics(table, names, patients, sites, samples, seed)


def figures_of_statistics(
    table: NDArray[np.float64],
    names: Sequence[str],
    patients: Sequence[str] | NDArray,
    sites: Sequence[str] | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> list[VolumeFigure]:
    """As `volume_figures`, of the `case_statistics` of all cases, ``(cases, columns, 2)``."""
    known, people = np.array([] if sites is None else sites, dtype=str), np.asarray(patients)
    parts = {"": np.ones(len(table), dtype=bool)}
    if len(set(known.tolist())) > 1:
        parts |= {site: known == site for site in sorted(set(known.tolist()) - {""})}
    out = []
    for site, chosen in parts.items():
        intervals = bootstrap_columns(table[chosen], people[chosen], ratio, samples, seed)
        pairs = zip(columns(names), intervals, strict=True)
        out += [VolumeFigure(metric, name, site, interval) for (metric, name), interval in pairs]
    return out
