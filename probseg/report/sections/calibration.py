"""What calibration after training did to a run: its figures before and after, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from probseg.report.results import RunResult
from probseg.report.table import Cell, figure_text, interval_text

__all__ = ["CALIBRATED", "CalibrationView", "calibration_views"]

CALIBRATED = (("nll", "NLL"), ("brier", "Brier"), ("ece", "ECE"), ("mce", "MCE"), ("ace", "ACE"))
"""Figures of the table with their headings; lower is better in each."""


@dataclass(frozen=True)
class CalibrationView:
    """One calibrated run: its name, the method, what it was fitted on, and the figures before and after."""

    title: str
    method: str
    fitted_on: str
    before: tuple[Cell, ...]
    after: tuple[Cell, ...]


def calibration_views(runs: Sequence[RunResult], titles: Mapping[str, str]) -> list[CalibrationView]:
    """The calibrated ones of tested runs; empty where there is none."""
    return [_view(run, titles[str(run.folder)]) for run in runs if run.calibration_method]


def _view(run: RunResult, title: str) -> CalibrationView:
    about = run.summary["calibration"].get("fitted_on")
    cells = [tuple(_cell(run, name + suffix) for name, _ in CALIBRATED) for suffix in ("_uncalibrated", "")]
    return CalibrationView(title, run.calibration_method, _fitted_on(about), *cells)


def _fitted_on(about: Any) -> str:
    if not isinstance(about, Mapping) or not {"cases", "patients", "split"} <= set(about):
        return "not recorded"
    return f"{about['cases']} cases of {about['patients']} patients, split {about['split']}"


def _cell(run: RunResult, metric: str) -> Cell:
    figure = run.figure(metric)
    return Cell(figure_text(figure.value), interval_text(figure)) if figure.defined else Cell("\N{EN DASH}")
