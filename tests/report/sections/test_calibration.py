"""Before and after calibration: what a test measured, and what the fit recorded and predictions carry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from probseg.report.inputs import Inputs, StoredPredictions
from probseg.report.page import PageOptions, render
from probseg.report.reading import load_run
from probseg.report.sections.calibration import calibration_views, fitted_views

EVIL = "<img src=x onerror=alert(1)>"
RECORD = {
    "cases": 7,
    "patients": 3,
    "split": EVIL,
    "figures": {
        when: {name: {"value": value, "low": value - 0.01, "high": None, "n": 7} for name in ("nll", "ece")}
        for when, value in (("before", 0.31), ("after", 0.27))
    },
    "reliability": {"before": [[0.6, 0.5, 40], [0.9, 0.7, 90]], "after": [[0.6, 0.58, 40], [0.9, 0.91, 90]]},
}


def predictions(name: str, record: Any = RECORD, sha256: str = "abc") -> StoredPredictions:
    calibration = {"method": "Temperature", "sha256": sha256, "fitted_on": record}
    manifest = {"scans": [], "settings": {"draws": 4, "window": None, "calibration": calibration}}
    return StoredPredictions(Path(name), manifest, None, {})


def test_a_fit_is_shown_once_with_what_it_recorded() -> None:
    (view,) = fitted_views(Inputs(predictions=(predictions("one"), predictions("two"))), {})
    assert view.title == "Predictions in one" and view.fitted_on.startswith("7 cases of 3 patients")
    assert [c.value for c in view.before] == ["0.310", "\N{EN DASH}", "0.310", "\N{EN DASH}", "\N{EN DASH}"]
    assert view.after[0].value == "0.270" and view.after[0].interval == ""  # one end is not known
    assert view.picture is not None and "before calibration: 0.60 stated, 0.50 observed" in view.picture
    assert len(fitted_views(Inputs(predictions=(predictions("one"), predictions("two", sha256="d"))), {})) == 2


def test_a_record_of_an_earlier_version_has_no_curve_and_a_strange_one_nothing() -> None:
    early = {name: value for name, value in RECORD.items() if name != "reliability"}
    (view,) = fitted_views(Inputs(predictions=(predictions("one", early),)), {})
    assert view.picture is None
    for strange in (None, "text", {}, {"figures": {"before": 3, "after": None}}):
        assert fitted_views(Inputs(predictions=(predictions("one", strange),)), {}) == []


def test_the_page_of_predictions_says_on_which_cases(parsed: Callable[[str], Any]) -> None:
    text, _ = render(Inputs(predictions=(predictions("one"),)), PageOptions())
    page = parsed(text)
    assert "Measured on the very cases that the calibration was fitted on, not on the scans predicted here" in page.text
    assert "No run here was calibrated" not in page.text and EVIL in page.text and EVIL not in text
    assert "calibration Temperature, sha256 abc" in page.text and "window none" in page.text


def test_without_a_before_there_is_one_row_and_a_way_to_it(make_run: Callable[..., Path]) -> None:
    run = load_run(make_run("net", "Deterministic", summary={"calibration": {"method": "Temperature"}}))
    (view,) = calibration_views([run], {str(run.folder): "Net"})
    assert view.before == () and view.after[0].value == "0.250" and view.fitted_on == "not recorded"
    text, _ = render(Inputs(runs=(run,)), PageOptions())
    assert "What was before is not known of Deterministic network" in text and "--calibration none" in text
    assert "In grey with hollow dots" not in text
