from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from probseg.errors import ProbsegError, ProbsegWarning
from probseg.report.reading import find_runs, load_run

Make = Callable[..., Path]


def test_a_run_comes_back_as_it_was_written(make_run: Make) -> None:
    run = load_run(make_run("probabilistic-unet", "ProbabilisticUNet", {"nll": 0.125, "ged_u": None}))
    assert (run.family, run.title, run.draws) == ("probabilistic-unet", "Probabilistic U-Net", 16)
    nll = run.figure("nll")
    assert (nll.value, nll.low, nll.high, nll.n) == (0.125, 0.105, 0.145, 6)
    assert not run.figure("ged_u").defined and not run.figure("ged_u").has_interval
    assert not run.figure("no_such_metric").defined
    assert run.reliability is not None and run.reliability.count.tolist() == [40, 99]  # the empty bin is gone
    assert run.cases is not None and run.cases.patient_ids == ("p0", "p0", "p1", "p1", "p2", "p2")
    assert run.examples is not None and list(run.examples) == ["c0", "c1"]


def test_rows_of_one_site_or_class_do_not_replace_the_overall_figure(make_run: Make) -> None:
    folder = make_run("ensemble", "Ensemble")
    text = "family,metric,value,low,high,n,site\nensemble,dice,0.5,0.4,0.6,9,\nensemble,dice,0.9,0.8,0.95,3,north\n"
    (folder / "results.csv").write_text(text, encoding="utf-8")
    assert load_run(folder).figure("dice").value == 0.5


def test_of_a_volume_the_slice_is_shown_on_which_raters_differ(make_run: Make, make_examples: Callable) -> None:
    run = load_run(make_run("ensemble", "Ensemble", arrays=make_examples(space=(3, 12, 10))))
    assert run.examples is not None
    example = run.examples["c0"]
    assert (example.slice_index, example.slices, example.image.shape) == (1, 3, (12, 10))
    assert example.masks.shape == (4, 12, 10) and example.readings.shape == (8, 12, 10)


def test_share_of_raters_counts_only_those_who_looked(make_run: Make, make_examples: Callable) -> None:
    arrays = make_examples()
    arrays["rated"][0, :2] = False  # rater 0 drew a smaller mask; 2 and 3 agree
    arrays["rated"][0, :, 0, 0] = False
    example = (load_run(make_run("ensemble", "Ensemble", arrays=arrays)).examples or {})["c0"]
    assert (
        example.rater_share[3, 3] == 1.0 and example.rater_share[11, 9] == 0.0 and math.isnan(example.rater_share[0, 0])
    )


def test_a_folder_with_runs_inside_stands_for_its_tested_runs(make_run: Make, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    one = make_run("ensemble", "Ensemble", parent=demo / "runs")
    (demo / "runs" / "half-done").mkdir()
    with pytest.warns(ProbsegWarning, match=r"half-done.*probseg test"):
        assert find_runs([demo, one]) == [one]


@pytest.mark.parametrize(
    ("break_it", "code", "says"),
    [
        (lambda f: (f / "results.csv").unlink(), "E_FILE_MISSING", "results.csv'; `probseg test` writes it"),
        (lambda f: (f / "results.csv").write_text("family,metric\n"), "E_SCHEMA", "lacks the column 'value'"),
        (lambda f: (f / "results.csv").write_text("family,metric,value,low,high,n\na,b,x,1,1,1\n"), "E_PARSE", "'x'"),
        (lambda f: (f / "results.csv").write_text("family,metric,value,low,high,n\na,b,1\n"), "E_PARSE", "cells"),
        (
            lambda f: (f / "results.csv").write_text("family,metric,value,low,high,n\na,b,1,1,1,1\nc,b,1,1,1,1\n"),
            "E_SCHEMA",
            "holds 2",
        ),
        (lambda f: (f / "test" / "summary.json").write_text("{"), "E_PARSE", "not JSON"),
        (lambda f: (f / "test" / "examples.npz").write_bytes(b"no zip"), "E_PARSE", "not a readable NPZ"),
        (lambda f: np.savez(f / "test" / "examples.npz", case_id=np.array(["c"])), "E_SCHEMA", "lacks the array"),
    ],
)
def test_a_broken_file_is_named(make_run: Make, break_it: Callable[[Path], object], code: str, says: str) -> None:
    folder = make_run("ensemble", "Ensemble")
    break_it(folder)
    with pytest.raises(ProbsegError) as caught:
        load_run(folder)
    assert caught.value.code == code and says in caught.value.message


def test_examples_of_another_shape_are_refused(make_run: Make, make_examples: Callable) -> None:
    arrays = make_examples() | {"entropy": np.zeros((2, 12, 11), np.float16)}
    with pytest.raises(ProbsegError, match=r"'entropy'.*\(2, 12, 11\)"):
        load_run(make_run("ensemble", "Ensemble", arrays=arrays))


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ProbsegError, match="E_FILE_MISSING"):
        find_runs([tmp_path / "nowhere"])


def test_what_test_did_not_leave_is_none(make_run: Make) -> None:
    folder = make_run("ensemble", "Ensemble")
    for path in (folder / "test").iterdir():
        path.unlink()
    run = load_run(folder)
    assert (run.cases, run.reliability, run.examples, dict(run.summary)) == (None, None, None, {})
