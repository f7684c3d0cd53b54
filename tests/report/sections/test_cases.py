from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from probseg.report.reading import load_run
from probseg.report.sections.cases import MOST_CASES, case_views

Make = Callable[..., Path]


@pytest.mark.parametrize("draws", [1, 3, 8])
def test_repeated_readings_are_shown_once(make_run: Make, make_examples: Callable, draws: int) -> None:
    arrays = make_examples()
    arrays["readings"][:] = 0
    for k in range(8):
        arrays["readings"][:, k, k % draws, 0] = 1
    run = load_run(make_run("ensemble", "Ensemble", arrays=arrays))
    (first, _), _ = case_views([run], {str(run.folder): "Ensemble"})
    assert len(first.families[0].readings) == draws and first.families[0].repeated == (draws == 1)


def test_a_rater_who_did_not_look_has_no_panel(make_run: Make, make_examples: Callable) -> None:
    arrays = make_examples()
    arrays["rated"][0, 1] = False
    arrays["masks"][0, 2] = 0
    run = load_run(make_run("ensemble", "Ensemble", arrays=arrays))
    (first, second), _ = case_views([run], {str(run.folder): "Ensemble"})
    assert [m.caption for m in first.masks] == ["reading 1", "reading 3: empty", "reading 4"]
    assert len(second.masks) == 4


def test_at_most_a_few_cases_and_it_is_known_how_many_there_were(make_run: Make, make_examples: Callable) -> None:
    arrays = make_examples(space=(8, 8), cases=tuple(f"c{k}" for k in range(MOST_CASES + 2)))
    run = load_run(make_run("ensemble", "Ensemble", arrays=arrays))
    views, scale = case_views([run], {str(run.folder): "Ensemble"})
    assert scale is not None and (len(views), scale.shown, scale.saved) == (MOST_CASES, MOST_CASES, MOST_CASES + 2)


def test_a_part_that_is_nought_is_called_none(make_run: Make, make_examples: Callable) -> None:
    arrays = make_examples()
    arrays["epistemic"] = np.zeros_like(arrays["epistemic"])
    run = load_run(make_run("punet", "ProbabilisticUNet", arrays=arrays))
    (first, _), _ = case_views([run], {str(run.folder): "x"})
    assert [p.caption for p in first.families[0].parts] == ["entropy", "epistemic: none", "ambiguity", "noise"]


def test_without_examples_there_are_no_views(make_run: Make) -> None:
    folder = make_run("ensemble", "Ensemble")
    (folder / "test" / "examples.npz").unlink()
    assert case_views([load_run(folder)], {str(folder): "Ensemble"}) == ((), None)
