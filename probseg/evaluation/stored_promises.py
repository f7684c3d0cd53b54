"""What ``probseg evaluate`` promised of volumes, kept for the scans of new patients that the same model predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probseg.analysis.conformal import ConformalIntervals
from probseg.errors import ProbsegError
from probseg.io.digest import file_sha256
from probseg.io.predicted import read_json

__all__ = ["REPORT", "StoredPromises", "made_by", "read_promises"]

REPORT = "evaluation.json"

Widenings = Mapping[str, Mapping[int, ConformalIntervals]]


@dataclass(frozen=True)
class StoredPromises:
    """Widenings of the model's intervals, fitted on patients of the calibration split.

    Attributes:
        widenings: structure to percent to the widening of the interval of so many percent.
        sha256: of the file that they stand in.
    """

    widenings: Widenings
    sha256: str

    def interval_ml(self, structure: str, level: int, interval: tuple[float, float]) -> tuple[float, float] | None:
        """The conformal interval from the model's own.

        Args:
            structure: class or group.
            level: percent.
            interval: of the model, of that level, mL; NaN stays NaN.

        Returns:
            Low and high in mL, from 0 to infinity; infinite where there were too few patients to promise anything. None
            where nothing was fitted for the structure.
        """
        fitted = self.widenings.get(structure, {}).get(level)
        if fitted is None:
            return None
        low, high = fitted.widen([interval])[0].tolist()
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for the settings of a run: which promises, and of how many patients."""
        counts = {fitted.patients for levels in self.widenings.values() for fitted in levels.values()}
        return {"sha256": self.sha256, "patients": max(counts, default=0)}


def made_by(terms: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for a promise to hold: weights, calibrator, number of draws, and whose readings.

    Args:
        terms: ``checkpoint_sha256`` and ``settings`` as ``probseg predict`` writes them to its manifest.
    """
    settings = terms.get("settings") or {}
    return {
        "checkpoint_sha256": terms.get("checkpoint_sha256"),
        "calibration_sha256": (settings.get("calibration") or {}).get("sha256"),
        "draws": settings.get("draws"),
        "rater": settings.get("rater"),
    }


def read_promises(path: Path, terms: Mapping[str, Any]) -> StoredPromises:
    """Promises of an evaluation, for a model that is to predict.

    Args:
        path: folder that ``probseg evaluate --out`` wrote, or its evaluation.json.
        terms: what will predict, as `made_by` takes it.

    Raises:
        ProbsegError: E_FILE_MISSING; E_SCHEMA where the evaluation promises nothing, or not what it should;
            E_STALE_CALIBRATION where it is of another model or other draws.
    """
    file = path / REPORT if path.is_dir() else path
    report = read_json(file)
    try:
        found = (report["promises"] or {})["intervals"]
        widenings = {
            str(structure): {int(level): ConformalIntervals.from_dict(said) for level, said in levels.items()}
            for structure, levels in found.items()
        }
        theirs = dict(report["made_by"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProbsegError(
            "E_SCHEMA",
            f"'{file}' promises nothing of volumes for new patients; predict the calibration split as well as the test "
            "split, and run probseg evaluate on both",
        ) from error
    ours = made_by(terms)
    other = next((key for key in ours if ours[key] != theirs.get(key)), None)
    if other is not None:
        what = other.replace("_sha256", "")
        values = "" if other.endswith("sha256") else f" ({theirs.get(other)} there, {ours[other]} here)"
        raise ProbsegError(
            "E_STALE_CALIBRATION",
            f"the promises of '{file}' are for another {what}{values}, and hold for that alone; predict alike, "
            "evaluate again, or give --promises none",
        )
    return StoredPromises(widenings, file_sha256(file))
