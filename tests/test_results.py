from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from probseg.data.examples import Examples
from probseg.manifest import open_dataset
from probseg.records import Dataset
from probseg.report import load_run
from probseg.results import evaluate_raters


def sample(sites: str) -> Dataset:
    """As many cases of the sample as there are letters, each from the site of that letter."""
    data = open_dataset("lidc-sample")
    records = [replace(r, site=s.strip()) for r, s in zip(data.records, sites, strict=False)]
    return replace(data, records=tuple(records), loader=lambda r: replace(data.load(r), site=r.site))


def rows(tmp_path: Path, data: Dataset) -> list[dict[str, str]]:
    examples = Examples(data, {p: k for k, p in enumerate(data.patients)})
    evaluate_raters(tmp_path, examples, data.info, command="test")
    with (tmp_path / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_site_needs_no_column(tmp_path: Path) -> None:
    assert "site" not in rows(tmp_path, sample("aaaaa"))[0]


def test_each_site_has_its_figures_below_those_of_all(tmp_path: Path) -> None:
    found = rows(tmp_path / "both", sample("ababb"))
    alone = {s: rows(tmp_path / s, sample("ababb").select(sites=[s])) for s in "ab"}
    metrics = [r["metric"] for r in found if not r["site"]]
    assert [r["site"] for r in found] == [""] * len(metrics) + ["a"] * len(metrics) + ["b"] * len(metrics)
    for site in "ab":
        here = [{k: v for k, v in r.items() if k != "site"} for r in found if r["site"] == site]
        # The figures are those of a test of this site alone; intervals too, patients being drawn by one seed.
        assert here == alone[site]
    n = {site: [int(r["n"]) for r in found if r["site"] == site] for site in ("", "a", "b")}
    assert n[""] == [a + b for a, b in zip(n["a"], n["b"], strict=True)]
    assert max(n["a"]) == 2
    assert load_run(tmp_path / "both").figure("ged_v").n == n[""][metrics.index("ged_v")]


def test_cases_without_a_site_count_in_all_only(tmp_path: Path) -> None:
    found = rows(tmp_path, sample("a a"))
    assert {r["site"] for r in found} == {"", "a"}
