from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from probseg.errors import ProbsegError
from probseg.evaluation.ranking import case_scores, rank
from probseg.evaluation.settings import EvaluationSettings

N = 12


@pytest.fixture
def cases(make_case):
    """Half of the cases lie at another site; the model is wrong, and unsure, in more and more voxels."""
    found = []
    for k in range(N):
        mask = np.zeros((2, 1, 40), np.uint8)
        mask[:, :, :20] = 1
        mask[1, 0, 20 : 20 + k] = 1  # the second rater draws more
        reading = np.zeros((1, 1, 40), np.uint8)
        reading[0, 0, k : 20 + k] = 1
        case = make_case(mask, reading, name=f"c{k}", num_draws=4, draws_ml=[[20.0], [20.0 + k]])
        epistemic, ambiguity = (np.zeros((1, 40), np.float32) for _ in range(2))
        epistemic[:] = 0.3 if k % 2 else 0.01
        ambiguity[0, 20 : 20 + k] = 0.5  # where the raters differ
        maps = {
            "entropy": epistemic + ambiguity,
            "epistemic": epistemic,
            "ambiguity": ambiguity,
            "noise": np.zeros((1, 40), np.float32),
        }
        found.append(replace(case, prediction=replace(case.prediction, maps=maps)))
    return [case_scores(case) for case in found]


NAMES, SITES = [f"p{k}" for k in range(N)], ["south" if k % 2 else "north" for k in range(N)]


def test_the_split_holds_where_it_was_built_in(cases):
    found = rank(cases, NAMES, SITES, EvaluationSettings(("north",), samples=100))
    assert found.split is not None
    assert found.split.shift["epistemic"].value == 1.0
    assert found.split.dispute["ambiguity"].value == 1.0
    assert found.sentences()[-1].startswith("The split holds on this data")
    assert set(found.tables()) == {"failures", "maps", "split"}


def test_scores_rank_cases_by_their_dice(cases):
    found = rank(cases, NAMES, SITES, EvaluationSettings(samples=100))
    assert found.failures[0].spearman.value == pytest.approx(-1)  # ever more doubt, ever less Dice
    assert {f.score for f in found.failures} >= {"ambiguity_sum", "entropy_region", "volume_variation"}
    assert found.split is None and set(found.tables()) == {"failures", "maps"}


def test_a_model_without_one_of_the_two_is_not_asked(cases):
    nothing = np.zeros_like(cases[0].disagreement["noise"])
    for case in cases:
        sure = nothing.copy()
        sure[0] = case.disagreement["noise"].sum(axis=0)
        case.disagreement["epistemic"] = sure  # type: ignore[index]  # a dict, made for this test
    found = rank(cases, NAMES, SITES, EvaluationSettings(("north",), samples=20))
    assert found.split is None
    assert "no epistemic uncertainty at all" in found.sentences()[-1]


@pytest.mark.parametrize("seen", [["east"], ["north", "south"]])
def test_sites_must_be_known_and_some_new(cases, seen):
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        rank(cases, NAMES, SITES, EvaluationSettings(tuple(seen), samples=20))
