from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from probseg.report.reading import load_run
from probseg.report.results import CaseTable, RunResult, paired_difference
from probseg.report.sections.summary import summarise

Make = Callable[..., Path]
CLEAR = {"ged_v": [0.10, 0.12, 0.11, 0.09, 0.13, 0.11]}
WORSE = {"ged_v": [0.30, 0.33, 0.35, 0.28, 0.36, 0.31]}
MIXED = {"ged_v": [0.05, 0.03, 0.25, 0.20, 0.11, 0.11]}  # p0 better, p1 worse, p2 the same


def sentences(*folders: Path) -> str:
    runs = [load_run(f) for f in folders]
    return "\n".join(summarise(runs, {str(r.folder): r.title for r in runs})).replace("\N{NO-BREAK SPACE}", " ")


def test_paired_difference_by_hand() -> None:
    # p has two cases with differences 1 and 3, q one with 8: mean over cases 12 / 3 = 4. Patient resamples give
    # pp: 2, qq: 8, pq: 4, so the interval runs from 2 to 8.
    first = CaseTable(("a", "b", "c", "only"), ("p", "p", "q", "q"), {"m": np.array([2.0, 4.0, 9.0, 7.0])})
    second = CaseTable(("c", "b", "a"), ("q", "p", "p"), {"m": np.array([1.0, 1.0, 1.0])})
    gap = paired_difference(first, second, "m")
    assert (gap.value, gap.low, gap.high, gap.n) == (4.0, 2.0, 8.0, 3)


def test_paired_difference_leaves_out_what_is_undefined() -> None:
    first = CaseTable(("a", "b"), ("p", "q"), {"m": np.array([2.0, np.nan])})
    gap = paired_difference(first, first, "m")
    assert (gap.value, gap.n, gap.has_interval) == (0.0, 1, False)
    assert not paired_difference(first, first, "other").defined


def test_a_clear_difference_is_claimed(make_run: Make) -> None:
    text = sentences(
        make_run("punet", "ProbabilisticUNet", {"ged_v": 0.11}, per_case=CLEAR),
        make_run("deterministic", "Deterministic", {"ged_v": 0.32}, per_case=WORSE),
    )
    # differences .20 .21 | .24 .19 | .23 .20: mean 1.27 / 6 = 0.212; patients .205, .215, .215
    assert "The probabilistic U-Net lies closest" in text and "0.110 (95 % interval 0.090 to 0.130)" in text
    assert "The deterministic network is higher, thus worse, by 0.212 (95 % interval 0.205 to 0.215)" in text


def test_no_claim_where_the_interval_holds_zero(make_run: Make) -> None:
    text = sentences(
        make_run("punet", "ProbabilisticUNet", {"ged_v": 0.11}, per_case=CLEAR),
        make_run("deterministic", "Deterministic", {"ged_v": 0.125}, per_case=MIXED),
    )
    assert "does not exclude zero, so no difference can be claimed" in text and "thus worse" not in text.split("\n")[1]


def test_the_plain_network_may_win_and_then_it_says_so(make_run: Make) -> None:
    text = sentences(
        make_run("punet", "ProbabilisticUNet", {"ged_v": 0.32}, per_case=WORSE),
        make_run("deterministic", "Deterministic", {"ged_v": 0.11}, per_case=CLEAR),
    )
    assert "The deterministic network lies closest" in text
    assert "The probabilistic U-Net is higher, thus worse, by 0.212" in text


def test_raters_overlap_turns_the_interval_round(make_run: Make) -> None:
    text = sentences(make_run("punet", "ProbabilisticUNet", {"rater_diversity": 0.35}))
    assert "overlap by 0.650 (95 % interval 0.630 to 0.670) on average" in text


@pytest.mark.parametrize(
    ("own", "says"),
    [(0.20, "varies less than the raters do"), (0.50, "varies more"), (0.34, "no difference in spread can be claimed")],
)
def test_spread_is_judged_by_both_intervals(make_run: Make, own: float, says: str) -> None:
    text = sentences(make_run("punet", "ProbabilisticUNet", {"diversity": own, "rater_diversity": 0.35}))
    assert says in text


def test_calibration_claims_only_intervals_apart(make_run: Make) -> None:
    close = sentences(make_run("a", "Ensemble", {"ece": 0.03}), make_run("b", "Deterministic", {"ece": 0.05}))
    assert "the intervals overlap, so no difference can be claimed" in close
    far = sentences(make_run("c", "Ensemble", {"ece": 0.03}), make_run("d", "Deterministic", {"ece": 0.09}))
    assert "the two intervals do not overlap" in far


def test_without_single_cases_nothing_is_claimed(make_run: Make) -> None:
    folders = [make_run("a", "Ensemble", {"ged_v": 0.1}), make_run("b", "Deterministic", {"ged_v": 0.9})]
    (folders[1] / "test" / "cases.csv").unlink()
    assert "nothing can be claimed, because the figures of single cases are missing" in sentences(*folders)


def test_without_any_figure_there_is_nothing_but_the_limits(tmp_path: Path) -> None:
    (only,) = summarise([RunResult(tmp_path, "new", {}, {})], {str(tmp_path): "New"})
    assert only.startswith("Each row is one trained model")


def test_floors_of_different_numbers_of_readings_are_explained(make_run: Make) -> None:
    few, many = make_run("a", "Ensemble", {"ged_floor": 0.31}), make_run("b", "ProbabilisticUNet", {"ged_floor": 0.16})
    text = sentences(few, many)
    assert "with as many as the ensemble has, a perfect model would score 0.310" in text and "U-Net 0.160" in text
    assert "perfect model" not in sentences(few)


def test_spread_is_told_of_the_probabilistic_unet_though_another_varies_more(make_run: Make) -> None:
    folders = make_run("a", "Ensemble", {"diversity": 0.9}), make_run("b", "ProbabilisticUNet", {"diversity": 0.2})
    assert "Two readings of the probabilistic U-Net lie 0.200" in sentences(*folders)
