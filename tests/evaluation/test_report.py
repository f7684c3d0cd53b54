from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from probseg.errors import ProbsegError
from probseg.evaluation import evaluate_case, gather
from probseg.records import DatasetInfo

Y = np.array([[[1, 1, 0, 0]], [[1, 1, 1, 0]], [[0, 1, 1, 0]]])


@pytest.fixture
def report(make_case, labels):
    info = DatasetInfo("discs", 2, labels, (0.0, 1.0))
    cases = [make_case(Y, Y, name=f"c{k}", site="north" if k < 2 else "south") for k in range(4)]
    return gather(info, "made", map(evaluate_case, cases))


def test_a_model_that_repeats_the_raters_is_at_no_distance(report):
    assert report.figure("ged_v").value == pytest.approx(0, abs=1e-12)
    assert report.figure("hm_iou").value == 1.0
    assert report.figure("ged_v", site="north").n == 2
    assert report.figure("ged_v").n == 4


def test_the_raters_stand_in_the_models_place(report):
    own = report.figure("dice", family="raters")
    pairs = [(0, 1), (0, 2), (1, 2)]
    dice = [2 * (Y[a] & Y[b]).sum() / (Y[a].sum() + Y[b].sum()) for a, b in pairs]
    assert own.value == pytest.approx(np.mean(dice))
    assert math.isnan(report.figure("ged_u", family="raters").value)  # a mask is no distribution


def test_tables_have_a_row_a_figure_and_a_row_a_case(report):
    results = report.tables()["results"]
    assert results.columns == ("family", "metric", "value", "low", "high", "n", "site", "class")
    assert {row[0] for row in results.rows} == {"made", "raters"}
    assert {row[6] for row in results.rows} == {"", "north", "south"}
    cases = report.tables()["cases"]
    assert [row[0] for row in cases.rows] == ["c0", "c1", "c2", "c3"]
    assert len({len(row) for row in cases.rows} | {len(cases.columns)}) == 1
    assert report.to_dict()["patients"] == 4
    # each score that ranks cases is a column, so that a curve can be drawn of any of them
    scores = {f"score_{f.score}" for f in report.ranking.failures}
    assert scores and scores <= set(cases.columns)
    column = cases.columns.index("score_reading_disagreement")
    assert [row[column] for row in cases.rows] == [c.scores.scores["reading_disagreement"] for c in report.cases]


def test_a_rater_alone_has_nobody_to_agree_with(make_case, labels):
    info = DatasetInfo("discs", 2, labels, (0.0, 1.0))
    found = gather(info, "made", [evaluate_case(make_case(Y[:1], Y[:1]))])
    assert found.figure("dice").value == 1.0
    assert found.figure("dice", family="raters").n == 0


def test_what_is_refused(make_case, labels, report):
    with pytest.raises(ProbsegError, match="E_NO_CASES"):
        gather(report.info, "made", [])
    with pytest.raises(ProbsegError, match=r"E_ARGUMENT.*no figure"):
        report.figure("gedd")
    nobody = make_case(Y, Y).of_raters([])
    with pytest.raises(ProbsegError, match="E_NO_RATER"):
        evaluate_case(replace(nobody))
