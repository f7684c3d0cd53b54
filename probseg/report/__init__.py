"""The report of tested runs: reading them back, plots of them, and the page."""

from __future__ import annotations

from probseg.report.page import build_report
from probseg.report.reading import load_run
from probseg.report.results import RunResult

__all__ = ["RunResult", "build_report", "load_run"]
