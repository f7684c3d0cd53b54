"""Figures and tables in Markdown, by hand."""

from __future__ import annotations

import math

import pytest

from probseg.analysis.bootstrap import Interval
from probseg.report.markdown import figure_cell, markdown_table

NAN = math.nan
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


@pytest.mark.parametrize(
    ("ends", "settings", "text"),
    [
        ((0.5, 0.25, 0.75), {}, "0.500 [0.250, 0.750]"),
        ((0.5, 0.25, 0.75), {"best": True}, "**0.500** [0.250, 0.750]"),
        ((0.5, NAN, NAN), {"digits": 1}, "0.5"),
        ((NAN, NAN, NAN), {"signed": True}, DASH),
        ((-0.5, -0.75, -0.25), {"signed": True}, f"**{MINUS}0.500 [{MINUS}0.750, {MINUS}0.250]**"),
        ((0.5, -0.25, 0.75), {"signed": True}, f"+0.500 [{MINUS}0.250, +0.750]"),
        ((-0.5, -0.75, -0.25), {}, f"{MINUS}0.500 [{MINUS}0.750, {MINUS}0.250]"),  # a figure below 0 is no difference
    ],
)
def test_a_figure(ends: tuple[float, float, float], settings: dict[str, bool], text: str) -> None:
    assert figure_cell(Interval(*ends, 3), **settings) == text  # type: ignore[arg-type]


def test_a_bar_does_not_end_a_cell() -> None:
    assert markdown_table(("a", "b"), [("1|2", "")]) == "| a | b |\n| --- | --- |\n| 1\\|2 |  |\n"
