"""Killed anywhere, beside a rival and over gloo, many scans come out as in one quiet run."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from probseg.cli import main
from probseg.data.synthetic import INFO, generate, write

pytestmark = pytest.mark.journey

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three test patients."""
    cases, root = generate(3, seed=4, shape=(2, 32, 32)), tmp_path_factory.mktemp("synthetic")
    return write(cases, root / "ct", seed=0, shares=(0, 0, 0, 1), with_truth=False)


@pytest.fixture(scope="module")
def configured(volumes: Path, save_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with its config, for the dataset."""
    run = save_run(tmp_path_factory.mktemp("configured") / "run", INFO)
    stored = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["probseg"]["config"]
    config = {"model": stored, "data": {"root": str(volumes)}, "out": str(run)}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


@pytest.fixture(scope="module")
def disturbed(run: Path, scans: list[Path], configured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of runs over twenty scans: a quiet one, and those that were killed or had a rival."""
    root = tmp_path_factory.mktemp("disturbed")
    words = [HERE / "disturbed.py", root, configured / "config.yaml", "predict", run, *scans]
    command = [sys.executable, "-W", "ignore", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return root


def seen_in(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()]


def test_one_run_is_complete_and_in_the_order_of_the_inputs(
    tree: Callable[..., Any],
    names: Callable[..., Any],
    manifest: Callable[..., Any],
    words: list[str],
    few: list[Path],
    quiet: dict[str, str],
    tmp_path: Path,
    without_pictures: None,
) -> None:
    assert main(words) == 0
    out = tmp_path / "out"
    assert tree(out) == quiet, "two runs are the same, byte by byte"
    assert [s["case_id"] for s in manifest(out)["scans"]] == names(few)
    with (out / "volumes.csv").open(newline="") as file:
        assert [r["case_id"] for r in csv.DictReader(file)] == names(few)
    assert {p.name for p in out.iterdir()} == {*names(few), "manifest.json", "volumes.csv"}
    stated = {f"{s['case_id']}/{n}": h for s in manifest(out)["scans"] for n, h in s["files"].items()}
    assert stated == {n: h for n, h in quiet.items() if "/" in n}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_anywhere_it_goes_on_with_what_is_missing(
    tree: Callable[..., Any], names: Callable[..., Any], disturbed: Path, scans: list[Path], seed: int
) -> None:
    """SIGKILL before a random change of a file or folder, four times, then a run to the end."""
    assert tree(disturbed / f"killed-{seed}") == tree(disturbed / "quiet")
    done = (disturbed / f"done-{seed}").read_text().split()
    again = seen_in(disturbed / f"log-killed-{seed}")
    assert sorted(done + again) == sorted(names(scans)), "the finished ones not again"


def test_two_rivals_do_each_scan_once(
    tree: Callable[..., Any], names: Callable[..., Any], disturbed: Path, scans: list[Path]
) -> None:
    assert tree(disturbed / "live") == tree(disturbed / "quiet")
    a, b = (seen_in(disturbed / f"log-live-{name}") for name in "ab")
    assert a and b and sorted(a + b) == sorted(names(scans))


def test_what_a_rival_was_at_when_it_was_killed_is_done_by_the_other(
    tree: Callable[..., Any], names: Callable[..., Any], disturbed: Path, scans: list[Path]
) -> None:
    assert tree(disturbed / "die") == tree(disturbed / "quiet")
    a, b = (seen_in(disturbed / f"log-die-{name}") for name in "ab")
    assert len(a) == 1 and a[0] in b and sorted(b) == sorted(names(scans))


def on_two_processes(log: Path, monkeypatch: pytest.MonkeyPatch, *words: object) -> list[str]:
    """The lines that a command prints; its log must say that gloo was there."""
    monkeypatch.setenv("LOG", str(log))
    command = [sys.executable, HERE / "watched.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert {line.split()[1] for line in log.read_text().splitlines()} == {"gloo"}
    return done.stdout.splitlines()


def test_two_processes_over_gloo_split_the_scans(
    tree: Callable[..., Any],
    names: Callable[..., Any],
    manifest: Callable[..., Any],
    run: Path,
    few: list[Path],
    quiet: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five scans, which two do not divide."""
    out, five = tmp_path / "out", few[:5]
    lines = on_two_processes(tmp_path / "log", monkeypatch, "predict", run, *five, "--out", out, "--devices", "2")
    assert [line.split()[0] for line in lines] == ["wrote", "next:"], "one process tells"
    assert sorted(seen_in(tmp_path / "log")) == sorted(names(five)), "none twice, none missing"
    assert {n: h for n, h in tree(out).items() if "/" in n}.items() < quiet.items()
    assert [s["case_id"] for s in manifest(out)["scans"]] == names(five)
    assert {p.name for p in out.iterdir()} == {*names(five), "manifest.json", "volumes.csv"}


def test_the_lightning_form_on_two_ranks_is_that_on_one(
    tree: Callable[..., Any], disturbed: Path, configured: Path, volumes: Path, tmp_path: Path, without_pictures: None
) -> None:
    """Three scans, which torchrun's two ranks do not divide."""
    lines = [line.split() for line in (disturbed / "log-lightning").read_text().splitlines()]
    assert len({case_id for case_id, _ in lines}) == len(lines) == 3 and {group for _, group in lines} == {"gloo"}
    one = tmp_path / "one"
    assert main(["predict", str(configured), str(volumes), "--split", "test", "--out", str(one)]) == 0
    assert tree(configured / "predictions") == tree(one)
