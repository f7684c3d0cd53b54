"""Predicted volumes with their intervals beside what the raters drew, case by case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.case_agreement import PREDICTION
from probseg.errors import ProbsegError
from probseg.io.predicted import read_json
from probseg.report.agreement_figures import AgreementFigures

__all__ = ["PredictedVolume", "VolumePoints", "read_volumes", "volume_points"]


@dataclass(frozen=True)
class PredictedVolume:
    """Predicted volume of one structure of one case in mL: the mean and the interval of 95 % of the draws."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class VolumePoints:
    """One structure, ``(cases,)`` each, mL; only cases in which both sides are known.

    Attributes:
        structure: a class or group.
        case_ids: of the cases.
        mean, low, high: predicted, with the interval of 95 %.
        raters_mean, raters_low, raters_high: mean, smallest and largest volume that a rater drew.
    """

    structure: str
    case_ids: tuple[str, ...]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    raters_mean: NDArray[np.float64]
    raters_low: NDArray[np.float64]
    raters_high: NDArray[np.float64]

    @property
    def held(self) -> int:
        """How many cases have the raters' mean within the predicted interval."""
        return int(((self.low <= self.raters_mean) & (self.raters_mean <= self.high)).sum())


def read_volumes(folder: Path, case_ids: Sequence[str]) -> dict[str, dict[str, PredictedVolume]]:
    """Case id to structure to volume, of the summaries that ``probseg predict`` wrote.

    Raises:
        ProbsegError: E_FILE_MISSING, E_PARSE or E_SCHEMA where a summary is not what ``probseg predict`` writes.
    """
    found = {}
    for case_id in case_ids:
        path = folder / case_id / "summary.json"
        summary = read_json(path)
        try:
            found[case_id] = {str(v["class"]): _volume(v) for v in summary["volumes"]}
        except (KeyError, TypeError, ValueError) as error:
            raise ProbsegError("E_SCHEMA", f"'{path}' is not what probseg predict writes: {error!r}") from error
    return found


def volume_points(
    figures: AgreementFigures, predicted: Mapping[str, Mapping[str, PredictedVolume]], structure: str
) -> VolumePoints:
    """Both sides of the cases that both know; none where volumes in mL are unknown."""
    rows: list[tuple[str, tuple[float, ...]]] = []
    raters = [k for k, name in enumerate(figures.parties) if name != PREDICTION]
    if "volume_ml" in figures.volumes and structure in figures.structures:
        table = figures.volumes["volume_ml"][:, raters, figures.structures.index(structure)]
        for case_id, drawn in zip(figures.case_ids, table, strict=True):
            known, own = drawn[~np.isnan(drawn)], predicted.get(case_id, {}).get(structure)
            if len(known) and own is not None and not math.isnan(own.mean):
                raters_of_case = (float(known.mean()), float(known.min()), float(known.max()))
                rows.append((case_id, (own.mean, own.low, own.high, *raters_of_case)))
    columns = np.array([values for _, values in rows], dtype=np.float64).reshape(len(rows), 6).T
    return VolumePoints(structure, tuple(case_id for case_id, _ in rows), *columns)


def _volume(entry: Mapping[str, Any]) -> PredictedVolume:
    low, high = entry["intervals_ml"]["95"] if entry.get("intervals_ml") else (None, None)
    mean, low, high = (math.nan if v is None else float(v) for v in (entry["mean_ml"], low, high))
    return PredictedVolume(mean, low, high)
