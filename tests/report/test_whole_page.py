"""The page of a study with predictions and scans, as the real commands leave them."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from probseg.cli import main

CANARY = "canary-4711"
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def text(study_page: Path) -> str:
    return study_page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str, parsed: Callable[[str], Any]) -> Any:
    return parsed(text)


def test_every_section_is_there(page: Any) -> None:
    sections = [a["id"] for a in page.named("section")]
    assert sections == [
        *("summary", "data", "figures", "agreement", "ceiling", "calibration", "risk", "volumes", "uncertainty"),
        *("cases", "viewer", "methods", "provenance"),
    ]
    links = {a["href"] for a in page.named("a") if (a.get("href") or "").startswith("#")}
    assert {f"#{s}" for s in sections} <= links


def test_the_summary_says_it_with_intervals(page: Any) -> None:
    assert re.search(r"overlap on opacity with a mean Dice of 0\.\d+ \(95 % interval 0\.\d+ to", page.text)
    assert "and a rater in its place with" in page.text and "Fleiss' kappa of all classes is" in page.text


def test_missing_readings_are_told_from_partial_ones(page: Any, study: dict[str, Path]) -> None:
    rows = (study["dataset"] / "cases.csv").read_text().splitlines()
    part = sum(",rater-3," in row and ",all," not in row for row in rows)
    assert part > 0
    place = page.cells.index("rater-3")
    assert page.cells[place + 1 : place + 4] == [str(3 - part), str(part), "0"]


def test_a_canary_is_nowhere_not_even_packed(text: str) -> None:
    assert CANARY not in text
    for block in re.findall(r'<script type="text/plain" id="volume[^>]*>([^<]*)</script>', text):
        assert CANARY.encode() not in gzip.decompress(base64.b64decode(block))


def test_markup_in_a_raters_name_is_text_everywhere(text: str, page: Any) -> None:
    assert EVIL not in text and not any("onerror" in a for _, a in page.tags)
    assert page.text.count(EVIL) >= 3
    index = re.search(r'id="viewer-index">(.*?)</script>', text, re.S)
    assert index is not None and "<" not in index[1]
    assert EVIL in [layer["label"] for layer in json.loads(index[1])[0]["layers"]]


def test_the_browser_may_run_these_scripts_and_no_other(text: str, page: Any) -> None:
    policy = next(a["content"] for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = re.findall(r'<script(?: type="text/plain" id="niivue-source")?>(.*?)</script>', text, re.S)
    found = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts}
    assert found == allowed and len(found) == 3
    assert "default-src 'none'" in policy and "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


def test_the_page_can_be_read_aloud(page: Any) -> None:
    assert all(a.get("alt") for a in page.named("img")) and all(a.get("aria-label") for a in page.named("svg"))
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    inside = {(a.get("href") or "")[1:] for a in page.named("a") if (a.get("href") or "").startswith("#")}
    assert inside <= set(ids)
    assert page.named("a")[0] == {"class": "skip", "href": "#main"}
    levels = [int(t[1]) for t, _ in page.tags if re.fullmatch("h[1-6]", t)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_cases_link_to_their_row_and_the_viewer(page: Any) -> None:
    assert len([a for a in page.named("article") if (a.get("id") or "").startswith("worst-")]) == 2
    assert {a["data-case"] for a in page.named("a") if "data-case" in a} == {"0", "1"}


def test_digests_are_those_of_the_files(text: str, study: dict[str, Path]) -> None:
    for path in (study["evaluation"] / "evaluation.json", study["predictions"] / "manifest.json"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text
    assert json.loads((study["predictions"] / "manifest.json").read_text())["checkpoint_sha256"] in text


def test_a_small_budget_coarsens_then_leaves_out_and_says_so(
    study: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    given = ["report", str(study["predictions"]), str(study["dataset"]), "--worst", "0", "--out", str(out)]
    assert main([*given, "--viewer", "1"]) == 0
    whole = sum(map(len, re.findall(r'<script type="text/plain" id="volume[^>]*>([^<]*)</script>', out.read_text())))
    assert main([*given, "--viewer", "1", "--viewer-mb", str(0.8e-6 * whole)]) == 0
    assert "case-0000 is coarser in the viewer than it is" in capsys.readouterr().out
    assert "every second row and every second column" in out.read_text()
    assert main([*given, "--viewer-mb", "0.001"]) == 0
    assert "is not in the viewer: it needs" in capsys.readouterr().out
    assert "niivue" not in out.read_text()


def test_predictions_alone_show_what_they_are_and_ask_for_the_dataset(
    study: dict[str, Path], tmp_path: Path, parsed: Callable[[str], Any]
) -> None:
    out = tmp_path / "r.html"
    assert main(["report", str(study["predictions"]), "--worst", "2", "--out", str(out)]) == 0
    page = parsed(out.read_text(encoding="utf-8"))
    shown = [a for a in page.named("img") if a.get("class") == "preview"]
    assert len(shown) == 2 and "case case-0000 as predicted" in shown[0]["alt"]
    assert "give the dataset as well" in page.text and "Of the entropy of the 3 scans in predictions" in page.text
    assert "What the model predicts, and how sure it is" in page.text
    with (study["predictions"] / "volumes.csv").open(newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert f"{float(first['mean_ml']):.1f}" in page.text and "As predicted in predictions" in page.text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--no-viewer", "--viewer", "2"], "--no-viewer leaves out"),
        (["--viewer", "0"], "--viewer must be at least 1"),
        (["--worst", "-1"], "--worst must be at least 0"),
        (["--viewer-mb", "0"], "--viewer-mb must be positive"),
        (["--viewer", "2"], "give the dataset as one more DIR"),
    ],
)
def test_what_contradicts_itself_is_refused(
    study: dict[str, Path], tmp_path: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(study["agreement"]), *words, "--out", str(tmp_path / "r.html")]) != 0
    assert says in capsys.readouterr().err and not (tmp_path / "r.html").exists()


def test_predictions_of_another_dataset_are_refused(
    study: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", str(study["predictions"]), "lidc-sample", "--out", str(tmp_path / "r.html")]
    assert main(words) != 0
    assert "give their dataset" in capsys.readouterr().err


def test_risk_is_shown_by_the_score_that_ranks_best(text: str, study: dict[str, Path]) -> None:
    ranking = json.loads((study["evaluation"] / "evaluation.json").read_text())["ranking"]
    best = ranking["scores"][0]["score"].replace("_", " ")
    assert f"cases ordered by {best}, the score that orders these very cases best" in text
