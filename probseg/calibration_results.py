"""What a test says of calibration: before and after, over all, by class, by rater and by site."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from probseg.analysis.bootstrap import Interval
from probseg.io.tables import write_csv
from probseg.metrics import FullCalibration
from probseg.metrics.calibration import write_reliability

__all__ = ["before_calibration", "write_calibration"]

_IN_RESULTS = ("ece", "mce", "ace", "brier", "nll")
_COLUMNS = ("family", "metric", "class", "rater", "site", *("before", "before_low", "before_high"))


def before_calibration(calibrations: Mapping[str, FullCalibration], samples: int = 1000) -> dict[str, Interval]:
    """The figures of a calibrated run before calibration, as ``..._uncalibrated``; none of one that is not."""
    if "after" not in calibrations:
        return {}
    before = calibrations["before"].overall(samples)
    return {f"{name}_uncalibrated": before[name] for name in _IN_RESULTS}


def write_calibration(
    folder: Path,
    family: str,
    calibrations: Mapping[str, FullCalibration],
    sites: Mapping[int, str],
    samples: int = 1000,
) -> None:
    """Write ``calibration.csv``, and ``reliability_before.csv`` where there is an after.

    Args:
        folder: the ``test`` folder of a run.
        family: name for the tables.
        calibrations: ``before`` and, of a calibrated run, ``after``; without one its cells are empty.
        sites: index of a case to its site.
        samples: of the bootstrap.
    """
    before = list(calibrations["before"].rows(sites, samples))
    nothing = Interval(float("nan"), float("nan"), float("nan"), 0)
    after = {
        (r.metric, r.class_name, r.rater, r.site): r.interval
        for r in (calibrations["after"].rows(sites, samples) if "after" in calibrations else ())
    }
    rows = []
    for row in before:
        key = (row.metric, row.class_name, row.rater, row.site)
        b, a = row.interval, after.get(key, nothing)
        rows.append((family, *key, b.value, b.low, b.high, a.value, a.low, a.high, b.n))
    write_csv(folder / "calibration.csv", (*_COLUMNS, "after", "after_low", "after_high", "n"), rows)
    curve = folder / "reliability_before.csv"
    if after:
        write_reliability(curve, family, calibrations["before"].scores.reliability())
    else:
        curve.unlink(missing_ok=True)  # of a test before, with a calibrator
