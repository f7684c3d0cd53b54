from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from probseg.analysis.risk_coverage import risk_coverage as areas
from probseg.errors import ProbsegError
from probseg.report import plots
from probseg.report.reading import load_run
from probseg.report.results import CaseTable
from probseg.report.volume_points import VolumePoints


@pytest.fixture
def axes() -> Axes:
    return Figure().add_subplot()


def table(**metrics: list[float]) -> CaseTable:
    names = tuple(f"c{k}" for k in range(len(next(iter(metrics.values())))))
    return CaseTable(names, names, {name: np.array(values) for name, values in metrics.items()})


def curve(axes: Axes, start: str) -> np.ndarray:
    return np.asarray(next(line.get_ydata() for line in axes.lines if str(line.get_label()).startswith(start)))


def test_the_surest_cases_come_first(axes: Axes) -> None:
    # risks in order of doubt: 0.4, 0.1, 0.4; the fourth has no Dice
    cases = table(diversity=[0.2, 0.1, 0.3, 0.05], dice=[0.9, 0.6, 0.6, math.nan])
    assert plots.risk_coverage(cases, axes, name="the net") is axes
    np.testing.assert_allclose(curve(axes, "the net"), [0.4, 0.25, 0.3])
    np.testing.assert_allclose(curve(axes, "best"), [0.1, 0.25, 0.3])
    np.testing.assert_allclose(curve(axes, "no order"), 0.3)
    found = areas([0.2, 0.1, 0.3], [0.1, 0.4, 0.4])
    assert f"AURC {found.aurc:.3f}" in axes.get_legend().get_texts()[2].get_text()
    # means of the curves: 0.95 / 3 and 0.65 / 3, their difference 0.1
    assert found.aurc == pytest.approx(0.95 / 3) and "0.100 above the best order" in axes.get_title(loc="left")


@pytest.mark.parametrize(("metrics", "says"), [({"dice": [1.0]}, "no column 'diversity'"), ({}, "no case has both")])
def test_a_curve_of_nothing_is_refused(axes: Axes, metrics: dict, says: str) -> None:
    with pytest.raises(ProbsegError, match=says):
        plots.risk_coverage(table(**(metrics or {"dice": [math.nan], "diversity": [0.1]})), axes)


def test_coverage_stands_over_what_was_stated(make_run: Callable[..., Path], axes: Axes) -> None:
    run = load_run(make_run("a", "Ensemble", {"coverage_50": 0.4, "coverage_80": None, "coverage_95": 0.9}))
    plots.coverage(run, axes)
    dots = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xydata(), [[50, 40], [95, 90]])
    bars = [line.get_xydata().tolist() for line in axes.lines if line.get_linewidth() == 2 and line is not dots]
    np.testing.assert_allclose(bars, [[[50, 38], [50, 42]], [[95, 88], [95, 92]]])
    with pytest.raises(ProbsegError, match="has no coverage of volumes"):
        plots.coverage(load_run(make_run("b", "Ensemble")), axes)


def points(scale: float = 1.0) -> VolumePoints:
    mean, low, high = (scale * np.array(v) for v in ([10.0, 20.0], [5.0, 18.0], [15.0, 30.0]))
    own = (scale * np.array(v) for v in ([12.0, 40.0], [10.0, 30.0], [14.0, 60.0]))
    return VolumePoints("opacity", ("a", "b"), mean, low, high, *own)


def test_volumes_are_a_cross_a_case(axes: Axes) -> None:
    plots.volume_agreement(points(), axes)
    dots = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xydata(), [[12, 10], [40, 20]])  # raters across, the model up
    across, up = (np.array(c.get_segments()) for c in axes.collections[:2])
    np.testing.assert_allclose(across[0], [[10, 10], [14, 10]])
    np.testing.assert_allclose(up[1], [[40, 18], [40, 30]])
    assert axes.get_title(loc="left") == "opacity: 1 of 2 raters' means held"
    assert axes.get_xscale() == "linear"


def test_volumes_over_decades_are_on_a_logarithmic_scale(axes: Axes) -> None:
    wide = VolumePoints("o", ("a", "b"), *(np.array([1.0, 500.0]) for _ in range(6)))
    plots.volume_agreement(wide, axes)
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_volumes_of_nothing_are_refused(axes: Axes) -> None:
    nothing = VolumePoints("opacity", (), *(np.zeros(0) for _ in range(6)))
    with pytest.raises(ProbsegError, match="no case has a predicted and a drawn volume of 'opacity'"):
        plots.volume_agreement(nothing, axes)
