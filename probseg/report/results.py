"""What the report knows of a tested run: its figures, its calibration and a few cases to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.analysis import paired as analysis
from probseg.analysis.bootstrap import Interval

__all__ = [
    "CaseTable",
    "Estimate",
    "Example",
    "Reliability",
    "RunResult",
    "paired_difference",
    "raters_differ",
    "titles_of",
]

_TITLES = {
    "Deterministic": "Deterministic network",
    "MonteCarloDropout": "Monte Carlo dropout",
    "Ensemble": "Ensemble",
    "ProbabilisticUNet": "Probabilistic U-Net",
    "StochasticSegmentation": "Stochastic segmentation network",
    "HierarchicalUNet": "Hierarchical U-Net",
    "RaterConditioned": "Rater-conditioned network",
    "RaterConfusion": "Rater confusion matrices",
    "SnapshotEnsemble": "Snapshot ensemble",
    "SWAG": "Stochastic weight averaging (SWAG)",
    "TestTimeAugmentation": "Test-time augmentation",
}


class Estimate(Interval):
    """A figure with its 95 % interval over patients, as results.csv has it; NaN where undefined, ``n`` counts cases."""

    @property
    def defined(self) -> bool:
        """Whether there is a figure at all."""
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True, eq=False)
class CaseTable:
    """Figures a case: ``metrics[name]`` is ``(cases,)``, NaN where undefined."""

    case_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    metrics: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins that hold trials, ``(bins,)`` each: mean stated probability, share of raters who agree, trials."""

    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    count: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Example:
    """One case to look at, as a plane.

    Attributes:
        case_id: of the case.
        image: ``(rows, columns)``, 0 to 1.
        masks: ``(raters, rows, columns)`` dense labels.
        rated: ``(raters, rows, columns)`` where a rater looked.
        mean: ``(classes, rows, columns)`` probabilities.
        maps: entropy, epistemic, ambiguity and noise, ``(rows, columns)`` each, nats.
        readings: ``(readings, rows, columns)`` leaf classes.
        slice_index: which slice of a volume this is, from 0; None for a 2-D image.
        slices: how many the volume has.
        raters: their names; empty where these are positions only.
        structure: what is meant by drawn; empty for any class but background.
        members: ``(dense labels,)`` 1 where a label lies in that structure, 0 where not, -1 where it leaves it open,
            `probseg.labels.LabelSet.membership`; None for any class but background.
    """

    case_id: str
    image: NDArray[np.float32]
    masks: NDArray[np.uint8]
    rated: NDArray[np.bool_]
    mean: NDArray[np.float32]
    maps: Mapping[str, NDArray[np.float32]]
    readings: NDArray[np.uint8]
    slice_index: int | None = None
    slices: int | None = None
    raters: tuple[str, ...] = ()
    structure: str = ""
    members: NDArray[np.int8] | None = None

    @property
    def foreground(self) -> NDArray[np.float32]:
        """``(rows, columns)``: probability of the structure, or of any class but background."""
        if self.members is None:
            return np.asarray(1.0 - self.mean[0], dtype=np.float32)
        return np.asarray(self.mean[self.members[: len(self.mean)] == 1].sum(axis=0), dtype=np.float32)

    @property
    def drawn(self) -> NDArray[np.bool_]:
        """``(raters, rows, columns)``: where each rater looked and drew the structure, or anything."""
        inside = self.masks > 0 if self.members is None else self.members[self.masks] == 1
        return np.asarray(inside & self.rated)

    @property
    def rater_share(self) -> NDArray[np.float32]:
        """``(rows, columns)``: share of the raters who looked there and drew it; NaN where nobody looked."""
        looked = self.rated.sum(axis=0)
        drew = self.drawn.sum(axis=0)
        return np.where(looked > 0, drew / np.maximum(looked, 1), np.nan).astype(np.float32)


@dataclass(frozen=True, eq=False)
class RunResult:
    """A tested run: one family's figures, and what ``test/`` holds; None where a file is not there."""

    folder: Path
    family: str
    figures: Mapping[str, Estimate]
    summary: Mapping[str, Any]
    cases: CaseTable | None = None
    reliability: Reliability | None = None
    examples: Mapping[str, Example] | None = None
    reliability_before: Reliability | None = None  # of a calibrated run, before calibration

    @property
    def calibration_method(self) -> str:
        """The class name of the calibrator that the test used; empty where there was none."""
        about = self.summary.get("calibration")
        return str(about.get("method") or "") if isinstance(about, Mapping) else ""

    @property
    def class_name(self) -> str:
        """Last part of the family's class path; empty for the raters."""
        return str(self.summary.get("class_path") or "").rpartition(".")[2]

    @property
    def title(self) -> str:
        """The family's name as people write it."""
        return "Raters themselves" if self.is_raters else _TITLES.get(self.class_name, self.family)

    @property
    def is_raters(self) -> bool:
        """Whether this is the raters measured with the models' ruler, one held out at a time."""
        return self.family == "raters"

    @property
    def is_deterministic(self) -> bool:
        """Whether this is the plain network that others are compared with."""
        return self.class_name == "Deterministic" or self.family == "deterministic"

    @property
    def draws(self) -> int | None:
        """N, how many readings of each case were drawn; None where the run does not say."""
        value = self.summary.get("draws")
        return value if isinstance(value, int) else None

    def figure(self, metric: str) -> Estimate:
        """A figure by its name in results.csv; undefined where the run has none."""
        return self.figures.get(metric, Estimate(math.nan, math.nan, math.nan, 0))


def titles_of(runs: Sequence[RunResult]) -> dict[str, str]:
    """Folder of each run to its name for people; runs of one family are told apart by their folders."""
    names = [r.title for r in runs]
    return {str(r.folder): r.title if names.count(r.title) == 1 else f"{r.title}, {r.folder.name}" for r in runs}


def paired_difference(first: CaseTable, second: CaseTable, metric: str) -> Estimate:
    """Mean of ``first - second`` over the cases that both have, with its interval over patients.

    Both runs see the same patients, so their difference varies far less than either figure: judging it by whether two
    separate intervals overlap would miss differences that are there.

    Returns:
        The difference, undefined when no case is shared; the interval is undefined with fewer than two patients.
    """
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    if metric not in first.metrics or metric not in second.metrics:
        return nothing
    other = dict(zip(second.case_ids, second.metrics[metric], strict=True))
    rows = zip(first.case_ids, first.patient_ids, first.metrics[metric], strict=True)
    pairs = [(p, a - other[c]) for c, p, a in rows if c in other and np.isfinite(a) and np.isfinite(other[c])]
    if not pairs:
        return nothing
    gap = analysis.paired_difference([d for _, d in pairs], [0.0] * len(pairs), [p for p, _ in pairs]).interval
    return Estimate(gap.value, gap.low, gap.high, gap.n)


def raters_differ(masks: NDArray[np.uint8], rated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``space``: where two raters who looked say otherwise, of ``(raters, *space)`` dense labels and what was rated."""
    return np.asarray(np.where(rated, masks, 0).max(axis=0) > np.where(rated, masks, 255).min(axis=0))
