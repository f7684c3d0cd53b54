"""What a test writes, and the raters in the model's place."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from probseg.analysis import energy
from probseg.analysis.overlap import pairwise_dice
from probseg.batch import Example
from probseg.distribution import SegmentationDistribution
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.records import DatasetInfo
from probseg.results import evaluate_raters, example_positions, write_examples

INFO = DatasetInfo("toy", 2, LabelSet.binary("x"), (0.0, 1.0))


class Listed:
    """Examples in memory, as much of `Examples` as the tables need."""

    def __init__(self, examples: list[Example]) -> None:
        self.examples = examples
        self.patient_ids = {e.patient: f"p{e.patient}" for e in examples}

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, k: int) -> Example:
        return self.examples[k]


def example(masks: torch.Tensor, k: int = 0, rated: torch.Tensor | None = None) -> Example:
    rated = torch.ones_like(masks, dtype=torch.bool) if rated is None else rated
    return Example(
        torch.rand(1, *masks.shape[1:]), masks.to(torch.uint8), rated, k, k, f"c{k}", "", torch.full((2,), math.nan)
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_raters_are_held_out_in_turn(tmp_path: Path):
    generator = torch.Generator().manual_seed(0)
    stacks = [(torch.rand(4, 9, 8, generator=generator) < 0.4).long() for _ in range(5)]
    figures = evaluate_raters(tmp_path, Listed([example(m, k) for k, m in enumerate(stacks)]), INFO, 6, "probseg demo")
    expected_ged, expected_dice = [], []
    for stack in stacks:
        m = stack.numpy()
        held = [energy.generalized_energy_distance(m[[r]], np.delete(m, r, 0), 2) for r in range(4)]
        expected_ged.append(np.mean(held))
        table = pairwise_dice(m, 2)[:, :, 1]
        expected_dice.append(table[~np.eye(4, dtype=bool)].mean())
    assert figures["ged_v"].value == pytest.approx(np.mean(expected_ged))
    assert figures["dice"].value == pytest.approx(np.mean(expected_dice))
    assert figures["ged_v"].n == 5
    rows = {r["metric"]: r for r in rows_of(tmp_path / "results.csv")}
    assert {r["family"] for r in rows.values()} == {"raters"}
    for name in ("nll", "nll_image", "log_likelihood", "diversity"):  # a mask has none of these
        assert rows[name]["value"] == rows[name]["low"] == rows[name]["high"] == ""
    assert float(rows["ged_v"]["value"]) == pytest.approx(np.mean(expected_ged), rel=1e-5)
    cases = rows_of(tmp_path / "test" / "cases.csv")
    assert [float(c["ged_v"]) for c in cases] == pytest.approx(expected_ged, rel=1e-5)
    assert "nll" not in cases[0]
    summary = json.loads((tmp_path / "test" / "summary.json").read_text())
    assert (summary["class_path"], summary["cases"], summary["patients"], summary["raters_max"]) == (None, 5, 5, 4)


def test_an_absent_rater_is_neither_held_out_nor_compared(tmp_path: Path):
    masks = (torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.5).long()
    padded = torch.cat([masks, torch.zeros_like(masks[:1])])
    rated = torch.ones_like(padded, dtype=torch.bool)
    rated[3] = False
    a = evaluate_raters(tmp_path / "a", Listed([example(masks)]), INFO, 3, "")
    b = evaluate_raters(tmp_path / "b", Listed([example(padded, rated=rated)]), INFO, 3, "")
    assert {n: f.value for n, f in a.items()} == pytest.approx({n: f.value for n, f in b.items()}, nan_ok=True)


def test_a_group_that_a_rater_drew_is_not_taken_for_a_class(tmp_path: Path):
    labels = LabelSet(
        (LabelClass(0, "background"), LabelClass(5, "glass"), LabelClass(10, "solid")),
        (LabelGroup("opacity", ("glass", "solid"), value=20),),
    )
    info = DatasetInfo("toy", 2, labels, (0.0, 1.0))
    masks = torch.tensor([[[1, 1, 0, 0]], [[1, 1, 0, 0]], [[3, 3, 0, 0]]])  # the third says opacity, no more
    figures = evaluate_raters(tmp_path, Listed([example(masks)]), info, 1, "")
    assert figures["dice"].value == pytest.approx(1)
    assert figures["ged_v"].value == pytest.approx(0, abs=1e-12)


def test_single_raters_have_no_agreement(tmp_path: Path):
    figures = evaluate_raters(tmp_path, Listed([example(torch.ones(1, 4, 4))]), INFO, 1, "")
    assert all(math.isnan(f.value) and f.n == 0 for f in figures.values())
    assert all(r["count"] == "0" for r in rows_of(tmp_path / "test" / "reliability.csv"))


def test_cases_to_show_run_from_agreement_to_disagreement():
    diversity = np.array([0.5, math.nan, 0.1, 0.9, 0.3])
    assert example_positions(diversity) == [2, 4, 0, 3]
    many = np.random.default_rng(0).permutation(100) / 100
    chosen = many[example_positions(many)]
    assert len(chosen) == 5 and (np.diff(chosen) > 0.15).all()
    assert example_positions(np.full(3, math.nan)) == []


def test_examples_hold_what_the_page_shows(tmp_path: Path):
    logits = torch.randn(1, 3, 2, 2, 6, 5, generator=torch.Generator().manual_seed(0))
    masks = torch.ones(3, 6, 5)
    examples = [example(masks, 0), example(masks[:2], 1)]
    write_examples(tmp_path, examples, lambda image: SegmentationDistribution(logits))
    with np.load(tmp_path / "test" / "examples.npz") as arrays:
        assert arrays["case_id"].tolist() == ["c0", "c1"]
        assert arrays["masks"].shape == (2, 3, 6, 5)
        assert arrays["rated"][1, 2].any() == np.False_
        readings = SegmentationDistribution(logits).readings()
        assert np.array_equal(arrays["readings"][0, :3], readings[:, 0].numpy())
        assert arrays["readings"].dtype == np.uint8
        assert arrays["mean"].dtype == np.float16
