from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

from probseg.analysis.volume_scores import HEADLINE_FIGURES
from probseg.data.examples import Examples
from probseg.data.synthetic import DEFAULT_SITES, default_raters, generate, write
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


def test_volumes_are_of_scans_though_cases_are_slices(tmp_path: Path) -> None:
    scans = generate(3, 0, DEFAULT_SITES[:2], default_raters(3), (4, 32, 32))
    data = open_dataset(write(scans, tmp_path / "ct", 0))
    found = {}
    for name, slices in (("slices", True), ("whole", False)):
        examples = Examples(data, {p: k for k, p in enumerate(data.patients)}, slices)
        evaluate_raters(tmp_path / name, examples, data.info, command="test")
        with (tmp_path / name / "results.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        found[name] = {(r["metric"], r["class"], r["site"]): r for r in table}
    assert {c for _, c, _ in found["slices"]} == {"", *data.info.labels.structures}
    summary = json.loads((tmp_path / "slices" / "test" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["volume_structure"], summary["cases"]) == ("opacity", 12)
    for table in found.values():
        assert all(int(row["n"]) <= 3 for (metric, *_), row in table.items() if metric in HEADLINE_FIGURES)
    complete = [k for k in found["whole"] if k[0] == "volume_error" and k[1] == "opacity"]
    assert complete and all(int(found["whole"][k]["n"]) >= 1 for k in complete)
    header = (tmp_path / "slices" / "test" / "cases.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "volume_error" not in header  # slices have no volumes of their own
    assert "volume_error" in (tmp_path / "whole" / "test" / "cases.csv").read_text(encoding="utf-8").splitlines()[0]
    assert load_run(tmp_path / "slices").figure("volume_error").n == int(found["slices"]["volume_error", "", ""]["n"])
