"""Volume intervals that hold what they promise on new patients, whatever the model: split-conformal widening.

A model's interval covers as often as the model is right about its own spread. On a calibration set of patients it is
measured by how far raters' volumes lie outside, and every interval is then widened (or narrowed) by the quantile of it
that a new patient exceeds as rarely as asked: conformalised quantile regression (Romano, Patterson and Candès 2019,
arXiv:1905.03222). What is promised holds on average over draws of the calibration patients and of one new patient of
the same kind; it is no promise for each scan.

The raters of a patient, and scans of a patient, resemble each other, so they are not so many independent trials. The
promise is made for a rater picked at random from a new patient: each patient weighs the same however many volumes there
are, and the new one weighs as each (hierarchical conformal prediction: Lee, Barber and Willett 2023, arXiv:2306.06342;
Dunn, Wasserman and Ramdas 2022, doi:10.1080/01621459.2022.2060112). With one volume a patient it is the usual quantile
of rank ``ceil((n + 1) (1 - alpha))``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probseg.errors import ProbsegError

__all__ = ["Absolute", "ConformalIntervals", "Relative", "Scale", "clustered_quantile", "fit_conformal"]


_SLACK = 1e-9  # on the scale, relative


class Scale(ABC):
    """On what scale intervals are widened; both ends move by the same amount there."""

    name: ClassVar[str]

    @abstractmethod
    def forward(self, volumes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Volumes in mL to the scale; rising."""

    @abstractmethod
    def back(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the scale to mL, not below 0."""

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {"scale": self.name, **vars(self)}


@dataclass(frozen=True)
class Absolute(Scale):
    """By so many mL, the same for the smallest and the largest finding."""

    name: ClassVar[str] = "absolute"

    def forward(self, volumes: NDArray[np.float64]) -> NDArray[np.float64]:
        """As they are."""
        return volumes

    def back(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """As they are, but for 0."""
        return np.maximum(values, 0.0)


@dataclass(frozen=True)
class Relative(Scale):
    """By a factor: ``log(v + offset)``, for volumes over orders of magnitude.

    Attributes:
        offset_ml: below about this volume widening is by mL again, since 0 has no logarithm; stated beforehand, and
            best of the order of the smallest volume that matters.
    """

    offset_ml: float = 1.0
    name: ClassVar[str] = "relative"

    def __post_init__(self) -> None:
        if not self.offset_ml > 0:
            raise ProbsegError("E_ARGUMENT", f"offset_ml must be above 0, but is {self.offset_ml}")

    def forward(self, volumes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logarithm."""
        return np.log(volumes + self.offset_ml)

    def back(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its inverse."""
        with np.errstate(over="ignore"):
            return np.maximum(np.exp(values) - self.offset_ml, 0.0)


def clustered_quantile(scores: ArrayLike, clusters: Sequence[str] | NDArray, level: float) -> float:
    """The least score that a trial of a new cluster stays below with probability ``level`` at least.

    Trials of the K clusters weigh ``1 / ((K + 1) n_k)``, and infinity weighs ``1 / (K + 1)``.

    Args:
        scores: ``(trials,)``; NaN is no trial.
        clusters: ``(trials,)``, the patient of each.
        level: 0..1.

    Returns:
        Infinity where K is too small: fewer than ``level / (1 - level)`` clusters, 19 for 0.95.

    Example:
        >>> clustered_quantile([1, 2, 3, 4], list("abcd"), 0.8)
        4.0
        >>> clustered_quantile([1, 2, 3, 4], list("abcd"), 0.81)
        inf
    """
    s = np.asarray(scores, dtype=np.float64)
    known = ~np.isnan(s)
    s = s[known]
    names, which, sizes = np.unique(np.asarray(clusters)[known], return_inverse=True, return_counts=True)
    if not len(names):
        return math.inf
    order = np.argsort(s, kind="stable")
    mass = np.cumsum(1.0 / sizes[which[order]])
    reached = np.flatnonzero(mass >= level * (len(names) + 1) - 1e-9)
    return float(s[order[reached[0]]]) if len(reached) else math.inf


@dataclass(frozen=True)
class ConformalIntervals:
    """What was fitted: by how much intervals are widened, and for whom.

    Attributes:
        level: share of raters that is promised, 0..1.
        scale: on which the ends are moved.
        pooled: how far the low and the high end are moved outward; infinite where there were too few patients.
        patients: number of calibration patients.
        sites: site to the same two, fitted on its own patients (Mondrian: Vovk et al. 2005, section 4.5); empty where
            sites were not told apart.
        site_patients: site to its number of calibration patients.
        pool_small_sites: a site with too few patients, or none, takes the pooled widening, which promises nothing for
            that site; otherwise its intervals are infinite, which is the honest one.
    """

    level: float
    scale: Scale
    pooled: tuple[float, float]
    patients: int
    sites: Mapping[str, tuple[float, float]]
    site_patients: Mapping[str, int]
    pool_small_sites: bool = False

    def widening(self, site: str = "") -> tuple[float, float]:
        """How far both ends are moved outward at a site."""
        if not self.sites:
            return self.pooled
        own = self.sites.get(site, (math.inf, math.inf))
        return self.pooled if self.pool_small_sites and math.inf in own else own

    def promised(self, site: str = "") -> bool:
        """Whether the level is promised for scans of this site, and not only for all sites together."""
        return not self.sites or math.inf not in self.sites.get(site, (math.inf,)) or not self.pool_small_sites

    def widen(self, intervals: ArrayLike, sites: Sequence[str] | None = None) -> NDArray[np.float64]:
        """Intervals ``(cases, 2)`` in mL to conformal ones, ``(cases, 2)``, from 0 to infinity at most.

        Args:
            intervals: of the model, as for the fit; NaN stays NaN.
            sites: ``(cases,)``; needed where sites were told apart.

        Raises:
            ProbsegError: E_ARGUMENT without sites where they are needed.
        """
        ends = np.asarray(intervals, dtype=np.float64)
        if self.sites and sites is None:
            raise ProbsegError("E_ARGUMENT", "the widening differs between sites; give the site of each case")
        moved = np.array([self.widening(s) for s in (sites or [""] * len(ends))]).reshape(len(ends), 2)
        on_scale = self.scale.forward(ends) + moved * np.array([-1.0, 1.0])
        # Volumes of 0 lie on the end of many an interval; there and back again, rounding must not push them out.
        on_scale += _SLACK * (1 + np.abs(np.where(np.isfinite(on_scale), on_scale, 0))) * np.array([-1.0, 1.0])
        crossed = on_scale[:, :1] > on_scale[:, 1:]  # a narrowing may not turn an interval round
        middle = np.where(crossed, on_scale, 0.0).mean(axis=1, keepdims=True)
        return self.scale.back(np.where(crossed, middle, on_scale))

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; null stands for infinity."""
        return {
            "level": self.level,
            **self.scale.to_dict(),
            "pooled": _plain(self.pooled),
            "patients": self.patients,
            "sites": {site: _plain(ends) for site, ends in self.sites.items()},
            "site_patients": dict(self.site_patients),
            "pool_small_sites": self.pool_small_sites,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ConformalIntervals:
        """What `to_dict` made.

        Raises:
            ProbsegError: E_SCHEMA where it is something else.
        """
        try:
            relative = data["scale"] == Relative.name
            scale: Scale = Relative(float(data["offset_ml"])) if relative else Absolute()
            if data["scale"] != scale.name:
                raise ValueError(f"there is no scale '{data['scale']}'")
            return cls(
                float(data["level"]),
                scale,
                _ends(data["pooled"]),
                int(data["patients"]),
                {str(site): _ends(ends) for site, ends in data["sites"].items()},
                {str(site): int(n) for site, n in data["site_patients"].items()},
                bool(data["pool_small_sites"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProbsegError("E_SCHEMA", f"these are no conformal intervals: {error!r}; fit them again") from error


def _plain(ends: tuple[float, float]) -> list[float | None]:
    return [None if math.isinf(v) else v for v in ends]


def _ends(values: Sequence[float | None]) -> tuple[float, float]:
    low, high = (math.inf if v is None else float(v) for v in values)
    return low, high


def fit_conformal(
    intervals: ArrayLike,
    observed: Sequence[ArrayLike],
    patients: Sequence[str],
    level: float = 0.95,
    scale: Scale = Relative(),
    sites: Sequence[str] | None = None,
    asymmetric: bool = False,
    pool_small_sites: bool = False,
) -> ConformalIntervals:
    """Fit the widening of one structure's intervals on calibration patients, none of whom trained or chose the model.

    Args:
        intervals: ``(cases, 2)`` of the model, mL, `probseg.analysis.volume_intervals`; NaN leaves a case out.
        observed: for each case its raters' volumes, mL; NaN is left out.
        patients: ``(cases,)``.
        level: share of raters that is to be held, 0..1; it need not be that of ``intervals``.
        scale: on which both ends are moved.
        sites: ``(cases,)`` to fit each site on its own patients; None for all together.
        asymmetric: move each end by its own quantile, at half the miss rate each; wider if the spread is symmetric, but
            right on either side apart.
        pool_small_sites: see `ConformalIntervals`.

    Raises:
        ProbsegError: E_ARGUMENT for a level outside 0..1, or sites that are left out of a pooled fit.
    """
    if not 0 < level < 1:
        raise ProbsegError("E_ARGUMENT", f"level must lie between 0 and 1, but is {level}")
    if pool_small_sites and sites is None:
        raise ProbsegError("E_ARGUMENT", "pool_small_sites is about sites, but none were given")
    ends = scale.forward(np.asarray(intervals, dtype=np.float64).reshape(-1, 2))
    counts = [len(np.asarray(volumes)) for volumes in observed]
    volumes = scale.forward(np.concatenate([np.zeros(0), *(np.asarray(v, dtype=np.float64) for v in observed)]))
    low, high = (np.repeat(ends[:, k], counts) for k in range(2))
    outside = np.stack([low - volumes, volumes - high], axis=1)  # (trials, 2): how far below and above
    outside[np.isnan(outside).any(axis=1)] = np.nan
    people, places = (np.repeat(np.asarray(v, dtype=str), counts) for v in (patients, sites or [""] * len(ends)))

    def fitted(chosen: NDArray[np.bool_]) -> tuple[float, float]:
        if asymmetric:
            below, above = (clustered_quantile(outside[chosen, k], people[chosen], (1 + level) / 2) for k in range(2))
            return below, above
        both = clustered_quantile(outside[chosen].max(axis=1), people[chosen], level)
        return both, both

    known = ~np.isnan(outside[:, 0])
    named = [] if sites is None else sorted(set(places.tolist()) - {""})
    return ConformalIntervals(
        level,
        scale,
        fitted(known),
        len(set(people[known].tolist())),
        {site: fitted(known & (places == site)) for site in named},
        {site: len(set(people[known & (places == site)].tolist())) for site in named},
        pool_small_sites,
    )
