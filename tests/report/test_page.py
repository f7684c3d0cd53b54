from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from probseg.commands import report as command
from probseg.errors import ProbsegError
from probseg.report import build_report

Make = Callable[..., Path]
Parse = Callable[[str], Any]


@pytest.fixture(scope="module")
def page(write_run: Make, parsed: Parse, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page of three families and the raters in a folder as the demo leaves it."""
    tmp_path = tmp_path_factory.mktemp("page")
    runs = tmp_path / "demo" / "runs"
    write_run("deterministic", "Deterministic", {"ged_v": 0.6127, "ged_u": None, "diversity": None}, parent=runs)
    write_run("ensemble", "Ensemble", {"ged_v": 0.4871}, parent=runs)
    write_run("probabilistic-unet", "ProbabilisticUNet", {"ged_v": 0.3812, "ged_u": -0.0123}, parent=runs)
    write_run("raters", None, {"nll": None, "rater_diversity": 0.3456}, parent=runs)
    return parsed(build_report([tmp_path / "demo"], tmp_path / "report.html").read_text(encoding="utf-8"))


def test_figures_stand_in_the_table_with_their_intervals(page: Any) -> None:
    for value in ("0.3810.361 to 0.401", "0.4870.467 to 0.507", "0.6130.593 to 0.633", "0.3460.326 to 0.366"):
        assert value in page.cells
    assert "\N{MINUS SIGN}0.012\N{MINUS SIGN}0.032 to 0.008" in page.cells


def test_an_undefined_figure_is_a_dash_with_its_reason(page: Any) -> None:
    assert [c for c in page.cells if c.startswith("\N{EN DASH}") and len(c) == 2]
    assert "A mask states no probabilities" in page.text and "One reading a case has nothing" in page.text


def test_the_probabilistic_unet_comes_first_and_the_raters_last(page: Any) -> None:
    titles = [c for c in page.cells if c.startswith(("Prob", "Ens", "Det", "Raters th"))]
    assert [t.split(" ")[0] for t in titles[:4]] == ["Probabilistic", "Ensemble16", "Deterministic", "Raters"]


def test_nothing_is_fetched(page: Any) -> None:
    sources = [a[k] or "" for _, a in page.tags for k in ("src", "href", "xlink:href", "data", "poster") if k in a]
    outside = [s for s in sources if not s.startswith(("data:image/png;base64,", "#"))]
    assert set(outside) == {"https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX"}  # a citation to click, not a fetch
    assert page.named("script") == [{}]  # the page's own, inside it
    assert page.named("link") == page.named("iframe") == []
    policy = page.named("meta")[2]
    assert policy["http-equiv"] == "Content-Security-Policy" and "default-src 'none'" in (policy["content"] or "")


def test_every_picture_has_words(page: Any) -> None:
    images = page.named("img")
    # per case: image, share, all outlines, 4 masks; 5 maps and 8 readings a family; 3 families
    assert len(images) == 2 * (7 + 3 * 13) and all(a["alt"] for a in images)
    assert [a["role"] for a in page.named("svg")] == ["img", "img"] and all(a["aria-label"] for a in page.named("svg"))


def test_identifiers_are_unique_and_references_resolve(page: Any) -> None:
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    inside = {(a.get("href") or a.get("xlink:href") or "")[1:] for _, a in page.tags}
    assert {i for i in inside if i and not i.startswith(("ttps", "ata"))} <= set(ids)


def test_headings_go_down_one_by_one(page: Any) -> None:
    levels = [int(t[1]) for t, _ in page.tags if re.fullmatch("h[1-6]", t)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(page.named("caption")) == len(page.named("table"))


def test_unnamed_raters_are_positions(page: Any) -> None:
    assert "positions, not persons" in page.text and "rater 1" not in page.text


def test_where_a_family_started_is_said_plainly(page: Any) -> None:
    assert "warm start: deterministic trunk" in page.text
    assert "from random weights" in page.text and "nothing was trained" in page.text


def test_a_warm_start_from_a_checkpoint_names_the_run(make_run: Make, tmp_path: Path, parsed: Parse) -> None:
    summary = {"warm_start": "/somewhere/runs/deterministic/checkpoints/best.ckpt"}
    folder = make_run("punet", "ProbabilisticUNet", summary=summary)
    page = parsed(build_report([folder], tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "warm start: weights of the run 'deterministic' (best.ckpt)" in page.text


def test_markup_in_names_is_text(make_run: Make, make_examples: Callable, tmp_path: Path, parsed: Parse) -> None:
    evil = '<script>alert("1")</script>'
    labels = {"classes": [{"value": 0, "name": "b"}, {"value": 1, "name": evil, "colour": "red;}</style><script>"}]}
    dataset = {"name": evil, "labels": labels, "raters": {"stable": True}, "note": f"{evil} doi:10.1000/{evil}"}
    summary = {"dataset": dataset, "command": evil, "warm_start": evil, "versions": {evil: evil}}
    arrays = make_examples(cases=(evil, 'x" onerror="alert(1)'))
    folder = make_run("new", None, summary=summary, arrays=arrays, per_case={evil: [0.0] * 6})
    page = parsed(build_report([folder], tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.named("script") == [{}] and not any("onerror" in a for _, a in page.tags)
    assert page.text.count(evil) >= 5


def test_many_classes_of_a_volume(make_run: Make, make_examples: Callable, tmp_path: Path, parsed: Parse) -> None:
    arrays = make_examples(space=(3, 12, 10), classes=4)
    page = parsed(
        build_report([make_run("punet", None, arrays=arrays)], tmp_path / "r.html").read_text(encoding="utf-8")
    )
    assert "slice 2 of 3" in page.text and "class 2" in page.text and "at most ln 4 = 1.39" in page.text


def test_what_is_missing_is_said(make_run: Make, tmp_path: Path, parsed: Parse) -> None:
    bare, whole = make_run("bare", None), make_run("whole", "Ensemble")
    for path in (bare / "test").iterdir():
        path.unlink()
    page = parsed(build_report([bare, whole], tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "Without pictures here, because none were saved: bare." in page.text
    assert "Without a curve, because the run has none: bare." in page.text and "not recorded" in page.text


def test_two_runs_of_one_family_are_told_apart(make_run: Make, tmp_path: Path, parsed: Parse) -> None:
    folders = [make_run("a", "Ensemble"), make_run("b", "Ensemble")]
    page = parsed(build_report(folders, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "Ensemble, a" in page.text and "Ensemble, b" in page.text


@pytest.mark.journey
def test_the_command(make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    out = tmp_path / "out" / "report.html"
    assert command.run(parser.parse_args([str(make_run("ensemble", "Ensemble")), "--out", str(out)])) == 0
    assert out.is_file() and str(out) in capsys.readouterr().out
    with pytest.raises(ProbsegError, match=r"results.csv.*probseg test"):
        command.run(parser.parse_args([str(tmp_path), "--out", str(tmp_path / "no.html")]))
    assert not (tmp_path / "no.html").exists()
