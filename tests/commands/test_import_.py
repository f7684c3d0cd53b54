"""``probseg import`` makes datasets that open."""

from __future__ import annotations

import argparse
import shlex

import numpy as np
import pytest

from probseg.commands import import_
from probseg.errors import ProbsegError
from probseg.manifest import open_dataset


def run(*words):
    parser = argparse.ArgumentParser()
    import_.configure(parser)
    return import_.run(parser.parse_args([str(w) for w in words]))


def synthetic(out, *more):
    return run("synthetic", "--out", out, "--cases", 2, "--shape", 4, 32, 48, "--raters", 2, *more)


def test_synthetic_makes_a_dataset(tmp_path, capsys):
    assert synthetic(tmp_path / "ct", "--seed", 3) == 0
    dataset = open_dataset(tmp_path / "ct")
    assert dataset.raters == ("rater-1", "rater-2")
    assert [c.site for c in dataset] == ["north", "south"]
    assert next(iter(dataset)).geometry.shape == (4, 32, 48)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(str(tmp_path / "ct")) and out[-1].startswith("next: probseg agreement")


def test_one_site(tmp_path):
    synthetic(tmp_path / "ct", "--sites", 1)
    assert {r.site for r in open_dataset(tmp_path / "ct").records} == {"north"}


def test_an_existing_dataset_is_kept_unless_asked(tmp_path):
    synthetic(tmp_path / "ct")
    before = (tmp_path / "ct" / "cases.csv").read_text()
    with pytest.raises(ProbsegError, match="E_OUTPUT_EXISTS"):
        synthetic(tmp_path / "ct", "--cases", 1)
    assert (tmp_path / "ct" / "cases.csv").read_text() == before
    synthetic(tmp_path / "ct", "--cases", 1, "--overwrite")
    assert len(open_dataset(tmp_path / "ct")) == 1


@pytest.mark.parametrize("wrong", [("--cases", 0), ("--sites", 6), ("--raters", 0), ("--seed", -1)])
def test_wrong_numbers_write_nothing(tmp_path, wrong):
    with pytest.raises(ProbsegError, match="E_USAGE"):
        synthetic(tmp_path / "ct", *wrong)
    assert not (tmp_path / "ct").exists()


def stack(path):
    rng = np.random.default_rng(0)
    np.savez(
        path,
        image=rng.integers(0, 255, (3, 16, 16), dtype=np.uint8),
        masks=rng.integers(0, 2, (3, 4, 16, 16), dtype=np.uint8),
    )
    return path


def test_npz_becomes_a_dataset_folder(tmp_path):
    source = stack(tmp_path / "stack.npz")
    assert run("npz", source, "--out", tmp_path / "d") == 0
    made, direct = open_dataset(tmp_path / "d"), open_dataset(source)
    assert made.info == direct.info
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["dataset.yaml", "stack.npz"]
    for a, b in zip(made, direct, strict=True):
        assert a.case_id == b.case_id and np.array_equal(a.image, b.image)
        assert np.array_equal(a.stacked()[0], b.stacked()[0])


def test_npz_refuses_what_is_no_stack_and_never_its_own_source(tmp_path):
    with pytest.raises(ProbsegError, match="E_FILE_MISSING"):
        run("npz", tmp_path / "none.npz", "--out", tmp_path / "d")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(ProbsegError, match="E_PARSE"):
        run("npz", tmp_path / "text.npz", "--out", tmp_path / "d")
    home = tmp_path / "home"
    home.mkdir()
    source = stack(home / "stack.npz")
    with pytest.raises(ProbsegError, match="E_OUTPUT_EXISTS"):
        run("npz", source, "--out", home, "--overwrite")
    assert source.exists() and not (tmp_path / "d").exists()


def test_the_example_is_a_command_that_parses():
    parser = argparse.ArgumentParser()
    import_.configure(parser)
    args = parser.parse_args(shlex.split(import_.EXAMPLE)[2:])
    assert args.cases == 24
