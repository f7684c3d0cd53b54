import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from probseg.analysis.case_agreement import CaseStatistics, PairTables, case_statistics
from probseg.analysis.patterns import PatternTable
from probseg.analysis.second_readings import second_readings
from probseg.analysis.vote_tables import vote_tables
from probseg.case import Case, Geometry
from probseg.labels import LabelSet

LABELS = LabelSet.binary("nodule")


def measured(name, masks, spacing=None):
    arrays = {r: np.array(m, dtype=np.uint8)[None] for r, m in masks.items()}
    shape = next(iter(arrays.values())).shape
    geometry = Geometry(shape, spacing, slice_thickness_mm=500.0 if spacing else None)
    return case_statistics(Case(name, name, "", np.zeros(shape, np.int16), arrays, geometry), LABELS)


def made(name, drawn, pairs, raters):
    """A case of which only sizes and differing voxels matter; ``pairs`` in order ab, ac, bc."""
    names = "abc"[:raters]
    labels = np.array([[0, 1]] * raters)
    table = PatternTable(labels, np.array([10**6 - drawn, drawn]))
    votes = vote_tables(table.labels, table.voxels, np.ones(2, dtype=bool), LABELS)
    joint = np.zeros((2, 2), dtype=np.int64)
    couples = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    tables = tuple(
        PairTables(a, b, joint, joint, np.array([0, 0, n])) for (a, b), n in zip(couples, pairs, strict=True)
    )
    return CaseStatistics(name, name, "", tuple(names), False, table, votes, (), tables, (), (), 0, {}, 0.001, (), ())


def test_what_is_seen_of_a_case_by_hand():
    # 2 and 3 voxels of 1 mL drawn of which 1 differs; a second case of one reading
    found = second_readings(
        [
            measured("1", {"a": [1, 1, 0, 0], "b": [1, 1, 1, 0]}, (1.0, 2.0)),
            measured("2", {"a": [1, 1, 1, 1]}, (1.0, 2.0)),
        ],
        LABELS,
    )
    assert found.unit == "ml"
    first, second = sorted(found.cases, key=lambda c: c.case_id)
    assert (first.readings, first.drawn, first.differing) == (2, 2.5, 1.0)
    assert second.readings == 1 and math.isnan(second.differing)
    # one case with two readings is nothing to learn from
    assert first.alone is None and second.alone is None
    assert second_readings([measured("1", {"a": [1, 0]})], LABELS).unit == "voxels"
    assert second_readings([], LABELS).cases == ()


def test_the_gain_is_what_one_more_reading_takes_away():
    """Q / m is the summed variance of the shares: checked by drawing readings."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.5, 0.5, size=200)
    q = (2 * chance * (1 - chance)).sum()  # two readings differ at a voxel with chance 2 p (1 - p)
    for m in (1, 2, 3):
        shares = (rng.random((4000, m, 200)) < chance).mean(axis=1)
        assert 2 * shares.var(axis=0).sum() == pytest.approx(q / m, rel=0.05)  # drawn and not drawn: two classes


def population(rng, n, raters, foreseen=0.0):
    """Cases whose true Q follows their size and something that only a model sees."""
    size = np.exp(rng.normal(9, 0.8, size=n))
    secret = rng.normal(size=n)
    q = np.exp(np.log(size) - 1.5 + 0.8 * secret)
    statistics = []
    for i in range(n):
        number = int(raters[i])
        # pairs share raters, each of whom multiplies what his pairs differ by
        habit = np.exp(0.25 * rng.normal(size=3))
        pairs = [q[i] * math.sqrt(habit[a] * habit[b]) for a in range(number) for b in range(a + 1, number)]
        statistics.append(made(f"{i:03d}", int(size[i]), np.round(pairs).astype(int), number))
    entropy = {f"{i:03d}": float(np.exp(np.log(q[i]) + 0.3 * rng.normal())) for i in range(n)}
    return statistics, q / 1000, entropy


def test_cases_of_one_reading_are_expected_from_cases_like_them():
    rng = np.random.default_rng(1)
    raters = rng.permutation(np.repeat([1, 3], [60, 60]))
    statistics, q, entropy = population(rng, 120, raters)
    found = second_readings(statistics, LABELS, entropy)
    cases = sorted(found.cases, key=lambda c: c.case_id)
    single = np.flatnonzero(raters == 1)
    alone = np.array([cases[i].alone.differing for i in single])
    by_model = np.array([cases[i].with_model.differing for i in single])
    # the model sees what the size does not, and tells cases apart
    assert spearmanr(by_model, q[single]).statistic > 0.9 > spearmanr(alone, q[single]).statistic
    assert found.foresight_with_model > 0.85 > found.foresight > 0.4
    inside = [cases[i].with_model.low <= q[i] <= cases[i].with_model.high for i in range(120)]
    assert np.mean(inside) > 0.9
    # three readings know more of the case than any other case does
    three = np.flatnonzero(raters == 3)
    assert spearmanr([cases[i].alone.differing for i in three], q[three]).statistic > 0.95


def test_they_are_right_on_average():
    total = np.zeros(3)
    for seed in range(8):
        raters = np.repeat([1, 3], [40, 60])
        statistics, q, entropy = population(np.random.default_rng(seed), 100, raters)
        cases = sorted(second_readings(statistics, LABELS, entropy).cases, key=lambda c: c.case_id)[:40]
        total += [sum(c.alone.differing for c in cases), sum(c.with_model.differing for c in cases), q[:40].sum()]
    # Q varies by a factor of three given the size: the sum of 320 has a standard error of 6 %
    assert total[:2] == pytest.approx([total[2]] * 2, rel=0.15)


def test_reading_where_it_is_said_to_help_helps_more():
    rng = np.random.default_rng(2)
    raters = rng.permutation(np.repeat([1, 2, 3], [50, 40, 30]))
    statistics, q, entropy = population(rng, 120, raters)
    found = second_readings(statistics, LABELS, entropy)
    true_gain = {f"{i:03d}": q[i] / (raters[i] * (raters[i] + 1)) for i in range(120)}
    by_model = sum(true_gain[c.case_id] for c in found.cases[:20])
    alone = sum(true_gain[c.case_id] for c in sorted(found.cases, key=lambda c: c.alone.rank)[:20])
    best, chance = sum(sorted(true_gain.values())[-20:]), 20 * np.mean(list(true_gain.values()))
    assert chance < alone < by_model <= best
    assert alone > 2 * chance
    assert by_model > 0.85 * best
    assert [c.with_model.rank for c in found.cases] == list(range(1, 121))


def test_cases_that_the_model_did_not_see_come_last():
    rng = np.random.default_rng(3)
    statistics, _, entropy = population(rng, 20, np.full(20, 3))
    del entropy["004"]
    found = second_readings(statistics, LABELS, entropy)
    assert found.cases[-1].case_id == "004"
    assert found.cases[-1].with_model is None and found.cases[-1].alone is not None


def test_two_readings_each_leave_chance_and_truth_unparted():
    statistics, _, _ = population(np.random.default_rng(4), 40, np.full(40, 2))
    found = second_readings(statistics, LABELS)
    cases = sorted(found.cases, key=lambda c: c.case_id)
    own = np.array([c.differing for c in cases])
    expected = np.array([c.alone.differing for c in cases])
    assert np.ptp(np.log(expected)) < np.ptp(np.log(own))  # drawn towards cases like it
    assert math.isnan(found.foresight_with_model)
