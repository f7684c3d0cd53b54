"""What the reference says of datasets and figures is so: its examples load and print what stands beside them."""

from __future__ import annotations

import csv
import io
import re

import pytest
import yaml

from probseg.labels import LabelSet
from probseg.manifest import COLUMNS
from probseg.records import DatasetInfo


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def rows(text: str, heading: str) -> list[str]:
    """The first cells of the first table below a heading."""
    below = text.partition(f"\n## {heading}\n")[2]
    (table, *_) = re.findall(r"(?:^\|.*\n)+", below, flags=re.MULTILINE)
    return re.findall(r"^\| `([\w.]+)`", table, flags=re.MULTILINE)


def test_dataset_yaml_is_one(pages: dict[str, str]) -> None:
    page = pages["reference/datasets.md"]
    info = DatasetInfo.from_dict(yaml.safe_load(blocks(page, "yaml")[0]))
    assert info.labels.label_names == ("background", "ground_glass", "consolidation", "opacity", "unknown")
    assert info.person("anna-2") == "anna"
    listed = {key.partition(".")[0] for key in rows(page, "dataset.yaml")}
    with pytest.raises(Exception, match="the keys are") as refused:
        DatasetInfo.from_dict({"nothing": 1})
    assert listed == set(str(refused.value).partition("the keys are ")[2].split(", "))


def test_cases_csv_has_the_columns(pages: dict[str, str]) -> None:
    page = pages["reference/datasets.md"]
    (example,) = [block for block in blocks(page, "text") if block.startswith("case_id")]
    table = list(csv.DictReader(io.StringIO(example)))
    assert tuple(table[0]) == COLUMNS and len(table) == 3
    assert tuple(sorted(rows(page, "cases.csv"))) == tuple(sorted((*COLUMNS, "note")))


def test_labels_of_the_how_to_load(pages: dict[str, str]) -> None:
    labels = LabelSet.from_dict(yaml.safe_load(blocks(pages["how-to/partial_labels.md"], "yaml")[0])["labels"])
    assert labels.admissible.astype(int).tolist()[3:] == [[0, 1, 1], [1, 1, 1]]


def test_check_values_print_what_stands_beside_them(pages: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(pages["reference/metrics.md"], "python")
    exec(code, {})
    assert capsys.readouterr().out.split() == re.findall(r"# (\S+)$", code, flags=re.MULTILINE)


def test_the_table_of_uncertainty_is_what_the_distribution_says(pages: dict[str, str]) -> None:
    import torch

    from probseg.distribution import SegmentationDistribution

    table = re.findall(r"^\| ([\d., /]+):.*\| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$", page_of(pages), flags=re.MULTILINE)
    assert len(table) == 3
    for draws, *expected in table:
        p = torch.tensor([[float(x) for x in model.split(",")] for model in draws.split("/")])
        probability = torch.stack([1 - p, p], dim=-1).clamp(1e-12, 1)[:, :, None, :, None, None]
        found = SegmentationDistribution(probability.log())
        parts = [getattr(found, name).item() for name in ("entropy", "epistemic", "ambiguity", "noise")]
        assert parts == pytest.approx([float(x) for x in expected], abs=5e-4)


def page_of(pages: dict[str, str]) -> str:
    return pages["explanation/distribution.md"]


def paragraphs(text: str) -> list[str]:
    """Running text: no code, no tables, no lists."""
    plain = re.sub(r"^```.*?^```$|^(?: {4}|[|#>!-]|\d+\.|<)[^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [block for block in re.split(r"\n\s*\n", plain) if block.strip()]


@pytest.mark.parametrize("most", [140])
def test_no_page_is_a_wall_of_text(pages: dict[str, str], most: int) -> None:
    long = {(name, len(p.split()), p[:60]) for name, text in pages.items() for p in paragraphs(text)}
    assert [entry for entry in long if entry[1] > most] == []


def test_paragraphs_are_told_from_code() -> None:
    assert paragraphs("# A\n\none two\nthree\n\n```text\nx\n\ny\n```\n\n| a |\n|---|\n\n    code\n") == [
        "one two\nthree"
    ]
