from dataclasses import replace

import numpy as np
import pytest

from probseg.analysis.additive import ratio
from probseg.analysis.bootstrap import bootstrap_columns
from probseg.analysis.case_agreement import CaseStatistics, case_statistics
from probseg.analysis.consensus import against_others
from probseg.analysis.patterns import PatternTable, vote_patterns
from probseg.analysis.rater_figures import rater_cards, staple_counts
from probseg.analysis.staple import staple
from probseg.analysis.vote_tables import vote_tables
from probseg.case import Case, Geometry
from probseg.data.synthetic import LABELS as SYNTHETIC
from probseg.data.synthetic import PATTERNS, RaterModel, generate, neighbour_confusion, rater_distribution
from probseg.labels import LabelClass, LabelGroup, LabelSet

BINARY = LabelSet.binary("nodule")
LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid")),),
)


def measured(name, masks, labels=BINARY, patient=None):
    arrays = {r: np.array(m, dtype=np.uint8)[None] for r, m in masks.items()}
    shape = next(iter(arrays.values())).shape
    case = Case(name, patient or name, "", np.zeros(shape, np.int16), arrays, Geometry(shape, (1.0, 1.0)))
    return case_statistics(case, labels)


def cards(statistics, labels=BINARY, **options):
    return rater_cards(statistics, [against_others(s, labels) for s in statistics], labels, **options)


def test_two_cases_by_hand():
    statistics = [
        measured("1", {"a": [1, 1, 0, 0], "b": [1, 0, 0, 0], "c": [1, 0, 1, 0]}),
        measured("2", {"a": [1, 1, 1, 1], "b": [1, 1, 0, 0]}),
    ]
    found = {c.rater: c for c in cards(statistics)}
    assert {r: c.cases for r, c in found.items()} == {"a": 2, "b": 2, "c": 1}
    (a,) = found["a"].structures
    # with b 2/3 and with c 1/2 in case 1, with b 2/3 in case 2
    assert a.dice.value == pytest.approx(((2 / 3 + 1 / 2) / 2 + 2 / 3) / 2)
    # the others' majority: voxel 0 in case 1 (2 is a tie), voxels 0 and 1 in case 2
    assert a.consensus_dice.value == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert a.sensitivity.value == pytest.approx(3 / 3)
    # left by the others in the union: voxels 1 and 2 of case 1, 2 and 3 of case 2; a left voxel 2 of case 1
    assert a.specificity.value == pytest.approx(1 / 4)
    assert a.volume_log_ratio.value == pytest.approx((np.log(2 / np.sqrt(2)) + np.log(2)) / 2)
    (c,) = found["c"].structures
    assert c.volume_log_ratio.n == 1
    cells = {(x.is_class, x.called): x.share.value for x in found["a"].confusion if x.truth == "others"}
    assert cells["background", "nodule"] == pytest.approx(3 / 4)
    assert cells["nodule", "nodule"] == 1.0


def test_staple_of_one_case_is_staple():
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.4
    masks = {
        r: np.where(rng.random(300) < error, ~truth, truth).astype(int)
        for r, error in (("a", 0.05), ("b", 0.15), ("c", 0.25))
    }
    found = staple_counts([measured("1", masks)], BINARY, ("a", "b", "c"), region="whole")
    assert found is not None and found.converged
    expected = staple(np.array(list(masks.values())), 2)
    sensitivity = found.hits[0, :, 0, 0] / (found.hits[0, :, 0, 0] + found.hits[0, :, 0, 1])
    specificity = found.hits[0, :, 0, 3] / (found.hits[0, :, 0, 3] + found.hits[0, :, 0, 2])
    np.testing.assert_allclose(sensitivity, expected.sensitivity[:, 1], atol=1e-5)
    np.testing.assert_allclose(specificity, expected.specificity[:, 1], atol=1e-5)
    shares = found.confusion[0] / found.confusion[0].sum(axis=2, keepdims=True)
    np.testing.assert_allclose(shares, expected.confusion, atol=1e-5)


def test_true_habits_lie_within_the_intervals():
    """Raters of known sensitivity and confusion, independent given the truth, which is what STAPLE assumes."""
    rng = np.random.default_rng(1)
    habits = {
        "a": [[0.97, 0.02, 0.01], [0.10, 0.85, 0.05], [0.05, 0.05, 0.90]],
        "b": [[0.90, 0.08, 0.02], [0.05, 0.70, 0.25], [0.05, 0.20, 0.75]],
        "c": [[0.95, 0.03, 0.02], [0.20, 0.75, 0.05], [0.10, 0.10, 0.80]],
        "d": [[0.93, 0.05, 0.02], [0.10, 0.80, 0.10], [0.02, 0.08, 0.90]],
    }
    statistics = []
    for i in range(25):
        truth = rng.choice(3, size=400, p=rng.dirichlet([4, 3, 3]))
        masks = {
            r: (rng.random((400, 1)) > np.cumsum(np.array(h)[truth], axis=1)).sum(axis=1) for r, h in habits.items()
        }
        if i % 5 == 0:
            del masks["d"]  # who did not read every case
        statistics.append(measured(f"{i}", masks, LABELS))
    consensus = [against_others(s, LABELS, "whole") for s in statistics]
    inside, total = 0, 0
    for card in rater_cards(statistics, consensus, LABELS, "whole", samples=400):
        truth = np.array(habits[card.rater])
        for cell in card.confusion:
            if cell.truth == "staple":
                place = LABELS.names.index(cell.is_class), LABELS.names.index(cell.called)
                total += 1
                inside += cell.share.low <= truth[place] <= cell.share.high
                # never far off, in or out of the interval
                assert cell.share.value == pytest.approx(truth[place], abs=0.03)
        figures = {f.structure: f for f in card.structures}
        assert figures["solid"].staple_sensitivity.value == pytest.approx(truth[2, 2], abs=0.03)
        assert figures["glass"].staple_specificity.n == card.cases
    assert total == 36
    # 34 expected at 95 %; the intervals hold STAPLE's truth fixed, which leaves a little out
    assert inside >= 29


def test_nothing_drawn_by_anybody():
    (card, _) = cards([measured("1", {"a": [0, 0], "b": [0, 0]})])
    (figures,) = card.structures
    for name in ("dice", "consensus_dice", "sensitivity", "staple_sensitivity", "volume_log_ratio"):
        assert np.isnan(getattr(figures, name).value)
    assert card.confusion == ()


def read(case, labels):
    """What cards need of a case, without comparing pairs, which is the slow part."""
    masks, rated = case.stacked()
    found = vote_patterns(masks, len(labels.values), rated)
    table, names = PatternTable(found.labels, found.voxels), tuple(case.masks)
    votes = vote_tables(table.labels, table.voxels, np.ones(len(table.voxels), dtype=bool), labels)
    counts = {r: np.bincount(row, table.voxels, len(labels.values)) for r, row in zip(names, table.labels, strict=True)}
    sizes = {r: tuple(float(c[labels.members(s)].sum()) for s in labels.structures) for r, c in counts.items()}
    rest = ((), (), (), (), 0, sizes, case.geometry.voxel_volume_ml, (), ())
    return CaseStatistics(case.case_id, case.patient_id, case.site, names, False, table, votes, *rest)


def test_the_habits_of_synthetic_raters_are_recovered():
    """Three careful raters, one who draws wide and calls high, one who draws narrow and calls low."""
    habits = [
        RaterModel("a", 0.0, 1.0, neighbour_confusion(0.02, 0.02)),
        RaterModel("b", 1.0, 1.0, neighbour_confusion(0.02, 0.02)),
        RaterModel("c", -1.0, 1.0, neighbour_confusion(0.02, 0.02)),
        RaterModel("d", 4.0, 1.0, neighbour_confusion(0.30, 0.0)),
        RaterModel("e", -4.0, 1.0, neighbour_confusion(0.0, 0.35)),
    ]
    nobody = RaterModel("lungs", miss_rate=1.0)  # sees no lesion, and so tells where the lungs are
    statistics, expected = [], []
    for synthetic in generate(36, seed=5, shape=(6, 40, 40), raters=[*habits, nobody]):
        masks = dict(synthetic.case.masks)
        lungs = masks.pop("lungs")
        statistics.append(read(replace(synthetic.case, masks=masks), SYNTHETIC))
        drawn = [rater_distribution([h], lungs, synthetic.lesions)[SYNTHETIC.members("opacity")].sum() for h in habits]
        expected.append(drawn)
    # the true bias: log of the volume that each draws on average, less that of the others, over cases with an opacity
    mean = np.array([row for row in expected if min(row) > 0], dtype=np.float64)
    logs = np.log(mean)
    true_bias = (logs - (logs.sum(axis=1, keepdims=True) - logs) / 4).mean(axis=0)
    consensus = [against_others(s, SYNTHETIC) for s in statistics]
    found = rater_cards(statistics, consensus, SYNTHETIC)
    bias = [{f.structure: f for f in card.structures}["opacity"].volume_log_ratio for card in found]
    for interval, truth in zip(bias, true_bias, strict=True):
        assert interval.low <= truth <= interval.high
    assert bias[3].low > 0 > bias[4].high  # d draws more and e less, beyond doubt
    inside, total = recovered(statistics, habits)
    # off and on the diagonal are nearly one figure, so 22 cells are 11 findings
    assert total == 22 and inside >= 18


def recovered(statistics, habits):
    """How many of the larger true rates of d and e lie in STAPLE's intervals, given that something was called."""
    patterns = [p.label for p in PATTERNS]
    counts = staple_counts(statistics, SYNTHETIC, [h.name for h in habits])
    inside, total = 0, 0
    for place in (3, 4):
        called = counts.confusion[:, place][:, patterns][:, :, patterns]
        rows = np.broadcast_to(called.sum(axis=2, keepdims=True), called.shape)
        sums = np.stack([called, rows], axis=-1).reshape(len(called), -1, 2)
        intervals = bootstrap_columns(sums, [s.patient_id for s in statistics], ratio)
        truth = habits[place].confusion[np.ix_(patterns, patterns)].ravel()
        for interval, rate in zip(intervals, truth, strict=True):
            if rate > 0.1:
                total += 1
                inside += interval.low - 1e-9 <= rate <= interval.high + 1e-9
    return inside, total
