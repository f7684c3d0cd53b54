from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from probseg.report import plots
from probseg.report.reading import load_run
from probseg.report.results import Example, RunResult


@pytest.fixture
def run(make_run: Callable[..., Path]) -> RunResult:
    return load_run(make_run("ensemble", "Ensemble", {"nll": None, "ged_v": 0.4}))


@pytest.fixture
def example(run: RunResult) -> Example:
    return (run.examples or {})["c0"]


@pytest.fixture
def axes() -> Axes:
    return Figure().add_subplot()


def test_maps_of_one_kind_share_a_scale(example: Example, axes: Axes) -> None:
    for part in ("entropy", "epistemic", "ambiguity", "noise"):
        assert plots.uncertainty(example, axes, part, top_nats=0.7) is axes
        picture = axes.images[-1]
        assert picture.get_clim() == (0.0, 0.7)
        np.testing.assert_array_equal(picture.get_array(), example.maps[part])
    for draw in (plots.mean_probability, plots.rater_share):
        assert draw(example, axes).images[-1].get_clim() == (0.0, 1.0)


def test_an_outline_encloses_the_pixels_it_fills(example: Example, axes: Axes) -> None:
    plots.rater_mask(example, axes, rater=1)  # rows 3 to 7, columns 3 to 6
    overlay = axes.images[-1].get_array()
    assert overlay is not None
    np.testing.assert_array_equal(overlay[..., 3] > 0, example.masks[1] > 0)
    box = axes.collections[0].get_datalim(axes.transData)
    assert box.extents == pytest.approx((2.5, 2.5, 6.5, 7.5))


def test_a_reading_without_foreground_is_the_bare_image(example: Example, axes: Axes) -> None:
    example.readings[0] = 0
    assert len(plots.reading(example, axes, 0).collections) == 0


def test_reliability_shows_the_bins_and_the_diagonal(run: RunResult, axes: Axes) -> None:
    plots.reliability(run, axes)
    offsets = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(offsets, [[0.6, 0.5], [0.9, 0.8]])
    dots = axes.collections[0]
    assert isinstance(dots, PathCollection)
    assert dots.get_sizes()[1] > dots.get_sizes()[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0, 0], [1, 1]])


def test_forest_draws_interval_and_value_and_says_undefined(run: RunResult, axes: Axes) -> None:
    plots.forest([run], axes, "ged_v")
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_xdata()), [0.38, 0.42])
    np.testing.assert_allclose(np.asarray(axes.lines[1].get_xdata()), [0.4])
    empty = Figure().add_subplot()
    assert [t.get_text() for t in plots.forest([run], empty, "nll").texts] == ["undefined"]


def test_top_of_the_scale_rounds_up_but_never_past_ln_c(example: Example) -> None:
    example.maps["entropy"][:] = 0.31
    assert plots.top_nats([example], 2) == pytest.approx(0.4)
    example.maps["entropy"][0, 0] = 0.69
    assert plots.top_nats([example], 2) == math.log(2)
    example.maps["entropy"][:] = 0.0
    assert plots.top_nats([example], 2) == pytest.approx(0.1)
