from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from probseg.report.agreement_figures import AgreementFigures, PairDice
from probseg.report.inputs import Inputs
from probseg.report.results import CaseTable, RunResult
from probseg.report.sections.case_table import case_table_view, worst_first
from probseg.report.stored_agreement import StoredAgreement


def agreement(dice: dict[str, float]) -> StoredAgreement:
    pairs = tuple(PairDice(c, "anna", "bob", "opacity", v) for c, v in dice.items())
    names = tuple(dice)
    table = CaseTable(names, names, {"rater_entropy": np.full(len(names), 0.1)})
    data = {"dataset": "toy", "structures": {"opacity": {}}}
    figures = AgreementFigures(None, ("background", "opacity"), ("anna", "bob"), pairs)
    return StoredAgreement(Path("agreement"), data, figures, table, dict.fromkeys(names, "north"))


def run(**metrics: list[float]) -> RunResult:
    names = tuple(f"c{k}" for k in range(len(next(iter(metrics.values())))))
    table = CaseTable(names, names, {k: np.array(v) for k, v in metrics.items()})
    return RunResult(Path("evaluation"), "ensemble", {}, {"dataset": {"name": "toy"}}, table)


def order(inputs: Inputs) -> list[str]:
    view = case_table_view(inputs, {"evaluation": "Ensemble"})
    return [key.case_id for key, _ in worst_first(view)]


def test_the_worst_come_in_turn_from_raters_and_model() -> None:
    stored = agreement({"c0": 0.9, "c1": 0.5, "c2": 0.7, "c3": math.nan})
    inputs = Inputs(runs=(run(dice=[0.1, 0.8, 0.6, 0.3]),), agreements=(stored,))
    # raters: c1, c2, c0; the model: c0, c3, c2, c1
    assert order(inputs) == ["c1", "c0", "c2", "c3"]
    view = case_table_view(inputs, {"evaluation": "Ensemble"})
    assert [why for _, why in worst_first(view)][:2] == [
        "raters differ most here: mutual overlap 0.50",
        "the model errs most here: overlap with its raters 0.10",
    ]


def test_a_row_holds_what_everybody_says_of_the_case() -> None:
    inputs = Inputs(runs=(run(dice=[0.1], ged_v=[0.4]),), agreements=(agreement({"c0": 0.9, "c9": 0.8}),))
    view = case_table_view(inputs, {"evaluation": "Ensemble"})
    assert [heading for heading, _ in view.headings] == [
        *("raters' Dice", "raters' entropy", "agreement", "Dice of the mode", "GED (V)")
    ]
    first, second = view.rows
    assert [c.value for c in first.cells] == ["0.900", "0.100", "\N{EN DASH}", "0.100", "0.400"]
    assert second.cells[3].value == "\N{EN DASH}" and second.cells[3].number == "" and view.has_sites


def test_without_a_study_an_evaluation_says_where_raters_differ() -> None:
    assert order(Inputs(runs=(run(rater_diversity=[0.2, 0.9, 0.5], dice=[math.nan] * 3),))) == ["c1", "c2", "c0"]


def test_opacity_counts_before_all_classes_together() -> None:
    assert order(Inputs(runs=(run(dice=[0.1, 0.9], opacity_iou=[0.8, 0.2]),)))[0] == "c1"


def test_nothing_gives_no_row() -> None:
    assert case_table_view(Inputs(), {}).rows == ()
