"""Which runs are one model, and how models compare."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import yaml

from probseg.cli import main
from probseg.errors import ProbsegError
from probseg.report import load_run
from probseg.report.contenders import compare_all, comparison_table, contenders_of, seed_table

BASE = np.array([0.2, 0.3, 0.25, 0.35, 0.3, 0.22])


@pytest.fixture
def trained(make_run, tmp_path):
    """Makes a run folder with its config; ``shift`` is added to every case's GED."""

    def make(name, shift, seed=0, lr=0.1, class_name="Deterministic"):
        values = {"ged_v": float((BASE + shift).mean())}
        summary = {"seed": seed, "draws": 16}
        run = make_run(name, class_name, values, per_case={"ged_v": list(BASE + shift)}, summary=summary)
        config = {
            "seed_everything": seed,
            "out": str(run),
            "model": {"lr": lr},
            "checkpoint": {"dirpath": str(run), "mode": "min"},
        }
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        return load_run(run)

    return make


def test_runs_that_differ_by_their_seed_are_one_model(trained):
    runs = [trained("a", 0.0, 0), trained("b", 0.02, 1), trained("c", 0.1, 0, lr=0.2)]
    assert [len(c.runs) for c in contenders_of(runs)] == [1, 1, 1]  # families are named for folders here


def test_seeds_and_pairs(make_run, trained):
    runs = [trained(n, s, k) for k, (n, s) in enumerate((("x1", 0.0), ("x2", 0.02)))]
    for run in runs:
        object.__setattr__(run, "family", "deterministic")
    other = trained("y", 0.1, 0, lr=0.2)
    object.__setattr__(other, "family", "deterministic")
    first, second = contenders_of([*runs, other])
    assert [len(first.runs), len(second.runs)] == [2, 1]
    assert first.title == "Deterministic network, 2 seeds"
    (comparison,) = compare_all([first, second])
    assert comparison.difference.interval.value == pytest.approx(0.01 - 0.1)
    assert comparison.difference.seeds == (2, 1)
    assert comparison.difference.p_value == comparison.corrected == 2 / 8  # three patients, one comparison
    table = seed_table([first, second])
    row = dict(zip(table.columns, next(r for r in table.rows if r[1] == "ged_v"), strict=True))
    assert (row["seeds"], row["standard_deviation"]) == (2, pytest.approx(0.02 / np.sqrt(2)))
    assert len(comparison_table([comparison]).rows) == 1


def test_the_same_seed_twice_is_no_second_seed(trained):
    runs = [trained("x1", 0.0, 3), trained("x2", 0.0, 3)]
    for run in runs:
        object.__setattr__(run, "family", "deterministic")
    assert [len(c.runs) for c in contenders_of(runs)] == [1, 1]


def test_fewer_comparisons_with_a_baseline(trained):
    runs = [trained(name, shift) for name, shift in (("a", 0.0), ("b", 0.1), ("c", 0.2))]
    contenders = contenders_of(runs)
    every, few = compare_all(contenders), compare_all(contenders, runs[0].folder)
    assert (len(every), len(few)) == (3, 2)
    assert {c.second for c in few} == {contenders[0].title}
    assert few[0].corrected == pytest.approx(2 * 0.25) and every[0].corrected == pytest.approx(3 * 0.25)
    with pytest.raises(ProbsegError, match="none of the runs"):
        compare_all(contenders, runs[0].folder.parent)


@pytest.mark.journey
def test_compare_says_by_how_much_and_how_surely(trained, tmp_path, capsys):
    runs = [trained(name, shift) for name, shift in (("a", 0.0), ("b", 0.1))]
    out = tmp_path / "comparison"
    assert main(["compare", *(str(r.folder) for r in runs), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "is -0.100" in printed and "p = 0.25" in printed and "not of training anew" in printed
    with (out / "differences.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["difference"]) == pytest.approx(-0.1)
    assert not (out / "seeds.csv").exists()


def test_adaptations_by_other_methods_are_other_models_and_their_seeds_are_not(trained):
    def adapted(name, shift, seed, method, patients):
        run = trained(name, shift, seed)
        object.__setattr__(run, "family", "deterministic")
        note = {"method": {"class_path": method}, "site": "south", "splits": ["train"], "run": "runs/north"}
        note |= {"patients": patients, "before": None}
        (run.folder / "adaptation.json").write_text(json.dumps(note))
        return run

    tuned = [adapted(f"t{k}", 0.01 * k, k, "FineTune", [f"p{k}"]) for k in range(2)]
    more = adapted("m", 0.1, 2, "FineTune", ["p0", "p1"])
    other = adapted("o", 0.2, 3, "Recalibration", ["p0"])
    assert [len(c.runs) for c in contenders_of([*tuned, more, other])] == [2, 1, 1]
