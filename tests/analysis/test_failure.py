import math

import numpy as np
import pytest

from probseg.analysis.detection import auroc, average_precision
from probseg.analysis.failure import failure_figures, failure_table
from probseg.analysis.rank_correlation import spearman
from probseg.analysis.risk_coverage import risk_coverage
from probseg.errors import ProbsegError


def test_a_score_that_knows_beats_one_that_guesses():
    rng = np.random.default_rng(0)
    dice = rng.random(60)
    scores = {"guess": rng.random(60), "half": -dice + 0.3 * rng.normal(size=60), "knows": 1 - dice}
    found = failure_figures(scores, dice, np.arange(60) // 2, samples=100)
    assert [f.score for f in found] == ["knows", "half", "guess"]
    knows, half, guess = found
    assert (knows.spearman.value, knows.excess_aurc.value) == (pytest.approx(-1), pytest.approx(0, abs=1e-12))
    assert knows.failure_auroc.value == knows.failure_aupr.value == 1
    assert knows.failure_auroc.low == 1
    assert half.excess_aurc.high < guess.excess_aurc.low
    assert guess.failure_auroc.low < 0.5 < guess.failure_auroc.high
    for f in found:  # what is said once of all cases is what the plain functions say
        areas = risk_coverage(scores[f.score], 1 - dice)
        assert (f.aurc.value, f.excess_aurc.value) == (
            pytest.approx(areas.aurc),
            pytest.approx(areas.excess, abs=1e-12),
        )
        assert f.augrc.value == pytest.approx(areas.augrc)
        assert f.spearman.value == pytest.approx(spearman(scores[f.score], dice))
        assert f.failure_auroc.value == pytest.approx(auroc(scores[f.score], dice < 0.5))
        assert f.failure_aupr.value == pytest.approx(average_precision(scores[f.score], dice < 0.5))
        assert f.aurc.low <= f.aurc.value <= f.aurc.high
    table = failure_table(found)
    assert len(table.columns) == len(table.rows[0]) and table.rows[0][:2] == ("knows", int((dice < 0.5).sum()))


def test_unknown_scores_are_left_out_and_no_failure_is_undefined():
    found = failure_figures({"a": [1, 2, math.nan, 4], "b": [math.nan] * 4}, [0.9, 0.8, 0.7, math.nan], list("wxyz"))
    assert (found[0].score, found[0].spearman.n, found[0].failures) == ("a", 2, 0)
    assert math.isnan(found[0].failure_auroc.value)
    assert found[1].aurc.n == 0
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        failure_figures({}, [], [], threshold=0)
