"""What a prediction says of volumes: each draw has a volume of every structure, and their spread is the interval.

The volume of a draw is the sum of its probabilities, the volume to be expected of a rater under that draw. Voxels are
independent given the draw, so raters of one draw differ by little more than nothing from it in a structure of many
voxels, and in one of few voxels by what `probseg.analysis.volume_intervals` adds. The reading of a draw, its most
probable class at each voxel, is a label map to look at and no measure of volume: where six opacities share the
probability, background alone wins the voxel that is most likely opacity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.analysis.volume_intervals import LEVELS, volume_intervals
from probseg.analysis.volumes import lung_parts
from probseg.evaluation.stored_promises import StoredPromises
from probseg.labels import LabelSet

__all__ = ["LEVELS", "VOLUME_COLUMNS", "StructureVolume", "structure_volumes", "volume_rows"]

VOLUME_COLUMNS = (
    "case_id",
    "class",
    "draws",
    "mean_ml",
    *(f"{end}_{level}_ml" for level in LEVELS for end in ("low", "high")),
    "mode_ml",
    "readings_ml",
    *(f"conformal_{end}_{level}_ml" for level in LEVELS for end in ("low", "high")),
    "percent_of_lung",
    *(f"percent_of_lung_{end}_95" for end in ("low", "high")),
)
"""Those of ``volumes.csv``; docs/how-to/volumes_with_intervals.md says what each is."""

_PERCENT_LEVEL = 95


@dataclass(frozen=True)
class StructureVolume:
    """Volume of one class or group in one scan, mL; NaN where the size of a voxel is not known.

    Attributes:
        structure: name of the class or group.
        draws_ml: ``(draws,)`` sum of its probability under each draw.
        readings_ml: ``(draws,)`` volume in the reading of each draw.
        mode_ml: volume in the mode, the most probable class of the mean.
        voxel_ml: volume of a voxel; NaN leaves out of intervals that raters count whole voxels.
        percents: ``(draws,)`` percent of the lung of the same draw; None where the label set has no lung.
    """

    structure: str
    draws_ml: NDArray[np.float64]
    readings_ml: NDArray[np.float64]
    mode_ml: float
    voxel_ml: float = math.nan
    percents: NDArray[np.float64] | None = None

    @property
    def mean_ml(self) -> float:
        """Mean over draws; the sum of the mean probability."""
        return float(self.draws_ml.mean())

    def interval_ml(self, level: int) -> tuple[float, float]:
        """Central interval that is meant to hold ``level`` percent of raters' volumes, see `volume_intervals`.

        It never reaches beyond what raters of the smallest and largest draw may find, so few draws make a narrow
        interval. NaN with a single draw, which has no spread.
        """
        voxel = self.voxel_ml if self.voxel_ml > 0 else None
        low, high = volume_intervals(self.draws_ml, [level], voxel)[0]
        return float(low), float(high)

    def to_dict(self, promises: StoredPromises | None = None) -> dict[str, Any]:
        """Plain types; null for what is not known, and as the high end of a conformal interval without one.

        Args:
            promises: of ``probseg evaluate`` for this model; adds ``conformal_ml``.
        """
        intervals = {level: self.interval_ml(level) for level in LEVELS}
        out: dict[str, Any] = {
            "class": self.structure,
            "mean_ml": _plain(self.mean_ml),
            "intervals_ml": {str(level): [_plain(v) for v in ends] for level, ends in intervals.items()},
            "mode_ml": _plain(self.mode_ml),
            "draws_ml": [_plain(float(v)) for v in self.draws_ml],
            "readings_ml": [_plain(float(v)) for v in self.readings_ml],
        }
        if promises is not None:
            widened = {level: promises.interval_ml(self.structure, level, ends) for level, ends in intervals.items()}
            out["conformal_ml"] = {
                str(level): [_plain(v) for v in ends] for level, ends in widened.items() if ends is not None
            }
        if self.percents is not None:
            low, high = volume_intervals(self.percents, [_PERCENT_LEVEL])[0].tolist()
            out["percent_of_lung"] = {
                "mean": _plain(float(self.percents.mean())),
                "intervals": {str(_PERCENT_LEVEL): [_plain(low), _plain(high)]},
            }
        return out


def _plain(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def structure_volumes(
    labels: LabelSet,
    draw_expected: NDArray[np.float64],
    draw_counts: NDArray[np.int64],
    mode_counts: NDArray[np.int64],
    voxel_volume_ml: float,
) -> tuple[StructureVolume, ...]:
    """Volumes of every foreground class and group; a group is the sum of its classes.

    Args:
        labels: the label set.
        draw_expected: ``(draws, classes)`` sum over voxels of the probability under each draw.
        draw_counts: ``(draws, classes)`` voxels of each reading.
        mode_counts: ``(classes,)`` voxels of the mode.
        voxel_volume_ml: of one voxel; NaN where unknown.
    """
    lung = lung_parts(labels)
    whole = None if lung is None else draw_expected[:, lung.whole].sum(axis=1)
    volumes = []
    for name in labels.structures:
        inside = labels.members(name)
        expected = draw_expected[:, inside].sum(axis=1)
        volumes.append(
            StructureVolume(
                name,
                expected * voxel_volume_ml,
                draw_counts[:, inside].sum(axis=1) * voxel_volume_ml,
                float(mode_counts[inside].sum()) * voxel_volume_ml,
                voxel_volume_ml,
                None if whole is None else _percents(expected, whole),
            )
        )
    return tuple(volumes)


def _percents(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN in a draw without lung."""
    return np.divide(100.0 * part, whole, out=np.full(len(part), math.nan), where=whole > 0)


def volume_rows(case_id: str, volumes: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Rows of ``volumes.csv``, one a class or group; the columns are `VOLUME_COLUMNS`.

    Args:
        case_id: of the scan.
        volumes: as `StructureVolume.to_dict` has them, so that ``summary.json`` is enough to make the table.
    """
    rows: list[tuple[object, ...]] = []
    for v in volumes:
        ends = [end for level in LEVELS for end in v["intervals_ml"][str(level)]]
        known = [ml for ml in v["readings_ml"] if ml is not None]
        readings = sum(known) / len(known) if known else None
        percent = v.get("percent_of_lung", {"mean": None, "intervals": {str(_PERCENT_LEVEL): [None, None]}})
        rows.append(
            (
                case_id,
                v["class"],
                len(v["draws_ml"]),
                v["mean_ml"],
                *ends,
                v["mode_ml"],
                readings,
                *(end for level in LEVELS for end in _conformal(v, level)),
                percent["mean"],
                *percent["intervals"][str(_PERCENT_LEVEL)],
            )
        )
    return rows


def _conformal(volume: Mapping[str, Any], level: int) -> tuple[float | None, float | None]:
    """Both ends, the high one infinite where too few patients promise nothing; None where nothing is known."""
    low, high = volume.get("conformal_ml", {}).get(str(level), (None, None))
    return low, math.inf if low is not None and high is None else high
