from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from probseg.analysis.bootstrap import Interval
from probseg.analysis.ceiling import Ceiling
from probseg.report.agreement_figures import AgreementFigures
from probseg.report.results import Estimate, RunResult
from probseg.report.sections.ceiling import ceiling_sentences, ceiling_views, place_rows
from probseg.report.stored_agreement import StoredAgreement
from probseg.report.stored_evaluation import StoredEvaluation


def stored(verdict: Any, margin: float | None = 0.05, n: int = 4) -> StoredAgreement:
    parts = Interval(0.8, 0.7, 0.9, n), Interval(0.78, 0.7, 0.85, n), Interval(-0.02, -0.04, 0.01, n)
    row = Ceiling("dice", "opacity", "", "higher", *parts, None, margin, verdict)
    figures = AgreementFigures(None, (), (), (), ceiling=(row,))
    return StoredAgreement(Path(), {"dataset": "toy", "structures": {"opacity": {}}}, figures, None, {})


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("non-inferior", "; not worse than a rater by more than 0.05"),
        ("inferior", "; worse than a rater by more than 0.05"),
        ("inconclusive", "; at the margin of 0.05 this decides nothing"),
        (None, "\N{MINUS SIGN}0.040 to 0.010)."),
    ],
)
def test_the_verdict_is_said_with_its_margin(verdict: str | None, says: str) -> None:
    (sentence,) = ceiling_sentences(stored(verdict))
    assert (
        "a mean Dice of 0.780 (95\N{NO-BREAK SPACE}% interval 0.700 to 0.850), and a rater in its place with"
        in sentence
    )
    assert says in sentence


def test_without_a_case_there_is_neither_sentence_nor_row() -> None:
    nothing = stored(None, n=0)
    assert list(ceiling_sentences(nothing)) == [] and ceiling_views((nothing,))[0].rows == ()


def test_intervals_apart_or_not() -> None:
    def evaluation(low: float, high: float) -> StoredEvaluation:
        model, raters = Estimate(0.5, 0.4, 0.6, 9), Estimate((low + high) / 2, low, high, 9)
        figures = {("net", "hm_iou", ""): model, ("raters", "hm_iou", ""): raters}
        return StoredEvaluation(RunResult(Path(), "net", {}, {}), {}, figures)

    assert [r.apart for r in place_rows(evaluation(0.7, 0.8))] == ["apart"]
    assert [r.apart for r in place_rows(evaluation(0.55, 0.8))] == ["overlap"]
    assert [r.apart for r in place_rows(evaluation(math.nan, math.nan))] == []
