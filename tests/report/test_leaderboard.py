"""Runs side by side, and ``probseg compare``."""

from __future__ import annotations

import csv

import pytest

from probseg.cli import main
from probseg.errors import ProbsegError
from probseg.report import load_run
from probseg.report.leaderboard import ordered_by, to_latex, to_markdown


@pytest.fixture
def runs(make_run):
    return [
        make_run("deterministic", "Deterministic", {"ged_v": 0.5, "ged_u": None}, summary={"draws": 1}),
        make_run("probabilistic_unet", "ProbabilisticUNet", {"ged_v": 0.3, "hm_iou": 0.6}, summary={"draws": 16}),
        make_run("raters", None, {"ged_v": 0.1}),
    ]


def test_the_best_comes_first_and_the_raters_last(runs):
    loaded = [load_run(r) for r in runs]
    assert [r.family for r in ordered_by(loaded, "ged_v")] == ["probabilistic_unet", "deterministic", "raters"]
    assert [r.family for r in ordered_by(loaded, "hm_iou")] == ["probabilistic_unet", "deterministic", "raters"]
    assert [r.family for r in ordered_by(loaded, "ged_u")][1:] == ["deterministic", "raters"]  # undefined: behind
    with pytest.raises(ProbsegError, match="no figure 'dice_of_luck'"):
        ordered_by(loaded, "dice_of_luck")


def test_markdown_marks_the_best_with_its_interval(runs):
    lines = to_markdown(ordered_by([load_run(r) for r in runs], "ged_v")).splitlines()
    header = [c.strip() for c in lines[0].strip("|").split("|")]
    assert header[:3] == ["family", "N", "GED (V)"]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines[2:]]
    assert cells[0][:3] == ["Probabilistic U-Net", "16", "**0.300** [0.280, 0.320]"]
    assert cells[1][2] == "0.500 [0.480, 0.520]"
    assert cells[2][2] == "0.100 [0.080, 0.120]", "the raters are no model that could win"
    assert cells[1][header.index("GED (U)")] == "\N{EN DASH}"
    assert len({len(c) for c in cells}) == 1


def test_latex_is_escaped(make_run):
    first = load_run(make_run("a_b", "Deterministic", {"ged_u": -0.1}))
    second = load_run(make_run("c&d", "Deterministic", {}))
    text = to_latex([first, second])
    assert r"Deterministic network, a\_b" in text
    assert r"Deterministic network, c\&d" in text
    assert r"$-$0.100" in text
    assert r"\textbf{" in text
    assert text.count(r"\\") == 3
    assert text.startswith(r"\begin{tabular}{lr") and text.endswith("\\end{tabular}\n")


@pytest.mark.journey
def test_compare_writes_and_says_what_it_wrote(runs, tmp_path, capsys):
    out = tmp_path / "comparison"
    words = ["compare", *map(str, runs), "--out", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "Probabilistic U-Net" in printed and "next: probseg report" in printed
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["family", "metric", "value", "low", "high", "n"]
    assert {r["run"] for r in rows} == {"deterministic", "probabilistic_unet", "raters"}
    first = next(r for r in rows if r["metric"] == "ged_v")
    assert (first["family"], float(first["value"])) == ("probabilistic_unet", 0.3)
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: E_OUTPUT_EXISTS: ")
    assert main([*words, "--overwrite"]) == 0
    assert main(["compare", *map(str, runs), "--out", str(out), "--overwrite", "--by", "luck"]) == 2
    assert "no figure 'luck'" in capsys.readouterr().err
