"""What calibration after training did: figures of a run before and after, and what the fit itself recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from probseg.report.figures import reliability_svg
from probseg.report.inputs import Inputs
from probseg.report.results import Estimate, Reliability, RunResult
from probseg.report.stored_agreement import estimate_of
from probseg.report.table import DASH, Cell, cell_of

__all__ = ["CALIBRATED", "CalibrationView", "FittedView", "calibration_views", "curves_text", "fitted_views"]

CALIBRATED = (("nll", "NLL"), ("brier", "Brier"), ("ece", "ECE"), ("mce", "MCE"), ("ace", "ACE"))
"""Figures of the table with their headings; lower is better in each."""

_NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0)


@dataclass(frozen=True)
class CalibrationView:
    """One calibrated run: its name, the method, what it was fitted on, and the figures before and after.

    ``before`` is empty where nobody measured the run without its calibrator.
    """

    title: str
    method: str
    fitted_on: str
    before: tuple[Cell, ...]
    after: tuple[Cell, ...]


@dataclass(frozen=True)
class FittedView(CalibrationView):
    """The same of the cases that a calibrator was fitted on, as its fit recorded them, and the two curves if it did."""

    picture: Markup | None = None


def calibration_views(runs: Sequence[RunResult], titles: Mapping[str, str]) -> list[CalibrationView]:
    """The calibrated ones of tested and evaluated runs; empty where there is none."""
    return [_view(run, titles[str(run.folder)]) for run in runs if run.calibration_method]


def fitted_views(inputs: Inputs, titles: Mapping[str, str]) -> list[FittedView]:
    """Every calibrator once that tested runs, evaluations or predictions were made with and whose fit left figures."""
    found: dict[str, FittedView] = {}
    for title, calibration in _calibrations(inputs, titles):
        record = calibration.get("fitted_on")
        figures = record.get("figures") if isinstance(record, Mapping) else None
        if not isinstance(record, Mapping) or not isinstance(figures, Mapping):
            continue
        name = str(calibration.get("sha256") or json.dumps(calibration, sort_keys=True, default=str))
        before, after = (_recorded(figures.get(when)) for when in ("before", "after"))
        if name not in found and any(c.number for c in (*before, *after)):
            picture = _picture(title, record.get("reliability"), len(found))
            method = str(calibration.get("method") or "")
            found[name] = FittedView(title, method, _fitted_on(record), before, after, picture)
    return list(found.values())


def curves_text(title: str, curves: Sequence[tuple[str, Reliability | None]]) -> Iterator[str]:
    """In words, for those who cannot see them: each ``(when, curve)``, such as `` before calibration``."""
    for when, curve in curves:
        if curve is not None:
            bins = zip(curve.confidence, curve.frequency, strict=True)
            yield f"{title}{when}: " + ", ".join(f"{c:.2f} stated, {f:.2f} observed" for c, f in bins)


def _calibrations(inputs: Inputs, titles: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for run in inputs.all_runs:
        if run.calibration_method:
            yield titles[str(run.folder)], run.summary["calibration"]
    for predictions in inputs.predictions:
        calibration = (predictions.manifest.get("settings") or {}).get("calibration")
        if isinstance(calibration, Mapping):
            yield f"Predictions in {predictions.folder.resolve().name}", calibration


def _view(run: RunResult, title: str) -> CalibrationView:
    about = run.summary["calibration"].get("fitted_on")
    before, after = (
        tuple(cell_of(run.figure(name + suffix)) for name, _ in CALIBRATED) for suffix in ("_uncalibrated", "")
    )
    known = any(cell.number for cell in before)
    return CalibrationView(title, run.calibration_method, _fitted_on(about), before if known else (), after)


def _fitted_on(about: Any) -> str:
    if not isinstance(about, Mapping) or not {"cases", "patients", "split"} <= set(about):
        return "not recorded"
    return f"{about['cases']} cases of {about['patients']} patients, split {about['split']}"


def _recorded(figures: Any) -> tuple[Cell, ...]:
    """Figures of a record; a dash for what it does not have as it should be."""
    cells = []
    for name, _ in CALIBRATED:
        try:
            cells.append(cell_of(estimate_of(figures[name])))
        except (KeyError, TypeError, ValueError):
            cells.append(Cell(DASH))
    return tuple(cells)


def _picture(title: str, record: Any, place: int) -> Markup | None:
    """Both curves of a record; None where it has none, as those of earlier versions."""
    try:
        before, after = (_curve(record[when]) for when in ("before", "after"))
    except (KeyError, TypeError, ValueError):
        return None
    if not (len(before.count) and len(after.count)):
        return None
    run = RunResult(Path(title), title, {}, {}, reliability=after, reliability_before=before)
    text = ". ".join(curves_text(title, (("", after), (" before calibration", before))))
    return Markup(reliability_svg([run], {}, f"Reliability on the cases it was fitted on. {text}.", f"fitted-{place}"))


def _curve(rows: Any) -> Reliability:
    values = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(values).all():
        raise ValueError("a curve is of finite numbers")
    return Reliability(values[:, 0], values[:, 1], values[:, 2].astype(np.int64))
