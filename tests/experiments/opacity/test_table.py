"""The page from run folders that were made up, with figures worked by hand."""

from __future__ import annotations

import csv
import json
import math
import sys

import numpy as np
import pytest

from probseg.io.tables import write_csv

CLASSES = ["background", "lung", "ground_glass", "crazy_paving", "consolidation"]
RESULTS = ("family", "metric", "value", "low", "high", "n", "site", "class")


def _study(shift, overlap):
    """Three cases whose lung is aerated by 20, 50 and 80 percent, of which the model finds so much less."""
    cases = []
    for k, raters in enumerate((20.0, 50.0, 80.0)):
        counts = np.zeros((5, 5), dtype=int)
        counts[2, 2:4] = 3, 1  # of the ground glass that was drawn a quarter is called crazy paving
        cases.append(
            {
                "case_id": f"c{k}",
                "patient_id": f"p{k}",
                "site": "north",
                "opacity_iou": overlap + 0.01 * k,
                "aerated": {"model": raters - shift, "a": raters - 1, "b": raters + 1, "c": None},
                "confusion": {"model": counts.tolist(), "raters": counts.tolist()},
                "raters": {"nats": 2.0, "agreed": 1.0, "voxels": 4},
            }
        )
    return {"classes": CLASSES, "cases": cases}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Phase 1, soft labels, one site left out, and a model adapted to 8 bits."""
    root = tmp_path_factory.mktemp("work")
    for name, overlap in (("phase1_unet", 0.5), ("phase2_soft", 0.75), ("without_north", 0.25)):
        run = root / "runs" / name
        rows = [
            ("deterministic", "opacity_iou", overlap, overlap - 0.1, overlap + 0.1, 3, "", ""),
            ("deterministic", "iou", 0.125, 0.1, 0.2, 3, "", "ground_glass"),
            ("deterministic", "volume_error", -0.25, -0.5, 0.0, 3, "", ""),
            ("deterministic", "nll", math.nan, math.nan, math.nan, 0, "", ""),
            ("raters", "opacity_iou", 0.875, 0.8, 0.9, 3, "", ""),
        ]
        write_csv(run / "evaluation" / "results.csv", RESULTS, rows)
        (run / "opacity.json").write_text(json.dumps(_study(5.0, overlap)), encoding="utf-8")
        (run / "training.json").write_text(json.dumps({"steps": 7, "seed": 0, "threads": 1, "train_seconds": 2.5}))
    adapted = [("deterministic", "opacity_iou", 0.375, 0.3, 0.4, 3, "", "")]
    write_csv(root / "runs" / "adapt_in_8_bits" / "results.csv", RESULTS, adapted)
    rows = [
        ("command", "processor_s", "wall_s"),
        ("probseg fit -c /some/where/experiments/opacity/data.yaml --out=runs/phase2_soft", "1.5", "2.0"),
    ]
    with (root / "times.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return root


@pytest.fixture(scope="module")
def table(script):
    return script("opacity/table")


@pytest.fixture(scope="module")
def page(work, table, tmp_path_factory):
    target = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["table.py", str(work), str(target)])
        table.main()
    return target


def test_the_page_holds_what_the_runs_say(page):
    text = (page / "results.md").read_text(encoding="utf-8")
    assert "| opacity IoU, U-Net, hard labels | 0.76 | Lensink et al. 2020 | 0.500 [0.400, 0.600] |" in text
    assert "all of them agree on the group in 25.0 %; the mean entropy of their votes is 0.500 nats" in text
    assert (
        "| phase 1, U-Net, hard labels, from the lungs | 0.500 [0.400, 0.600] | \N{EN DASH} | 0.125 [0.100, 0.200] |"
        in text
    )
    assert "| the raters themselves, one against the others | 0.875 [0.800, 0.900] |" in text
    assert "| ground glass | 0.0 | 0.0 | 75.0 | 25.0 | 0.0 |" in text and "| lung | \N{EN DASH} | \N{EN DASH} |" in text
    assert "| in 8 bits, not adapted | \N{EN DASH} | 0.375 [0.300, 0.400] |" in text
    assert "| north | 3 | 0.260 | 0.510 | **\N{MINUS SIGN}0.250" in text
    assert "`probseg fit -c experiments/opacity/data.yaml --out=runs/phase2_soft` | 1.5 | 2.0 |" in text
    assert "/some/where" not in text and "nan" not in text


def test_the_csv_has_every_defined_figure_once(page):
    with (page / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [(r["run"], r["class"], r["metric"]) for r in rows]
    assert len(names) == len(set(names)) and ("raters", "", "opacity_iou") in names
    assert not [r for r in rows if r["metric"] == "nll"]  # it is defined nowhere
    found = {r["metric"]: float(r["value"]) for r in rows if r["run"] == "phase1_unet"}
    # the mean of the raters of a case, whoever did not look left out; the model finds 5 points less everywhere
    assert found["aerated_r"] == pytest.approx(1) and found["aerated_error"] == found["aerated_error_size"] * -1 == -5


def test_intervals_are_over_patients(table):
    pairs = np.array([[1.0, 0.0]] * 3 + [[3.0, 0.0]])
    value, low, high = table.with_interval(pairs, ["p", "p", "p", "q"], lambda p: float((p[:, 0] - p[:, 1]).mean()))
    assert value == 1.5 and (low, high) == (1.0, 3.0)  # either patient may be drawn twice


def test_nothing_varies_nothing_correlates(table):
    assert math.isnan(table.correlation(np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 4.0]])))
    assert math.isnan(table.correlation(np.array([[1.0, 2.0], [2.0, 3.0]])))
    assert table.correlation(np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 0.0]])) == pytest.approx(-1)
