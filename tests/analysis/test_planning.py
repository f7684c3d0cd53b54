import math

import numpy as np
import pytest

from probseg.analysis.case_agreement import CaseStatistics, case_statistics
from probseg.analysis.held_out import ALL_CLASSES
from probseg.analysis.kappa import kappa_of_counts
from probseg.analysis.patterns import PatternTable, vote_patterns
from probseg.analysis.planning import ANY_RATERS, THESE_RATERS, plan_sentence, plans
from probseg.analysis.variance import Needed, crossed_variance
from probseg.analysis.vote_tables import vote_tables
from probseg.case import Case, Geometry
from probseg.labels import LabelSet

LABELS = LabelSet.binary("nodule")


def measured(name, masks, patient=None):
    arrays = {r: np.array(m, dtype=np.uint8)[None] for r, m in masks.items()}
    shape = next(iter(arrays.values())).shape
    case = Case(name, patient or name, "", np.zeros(shape, np.int16), arrays, Geometry(shape, None))
    return case_statistics(case, LABELS)


def by_key(found):
    return {(p.figure, p.structure, p.scope): p for p in found}


def lengths(rng, n, m, patients=0.3, raters=0.15, rest=0.1):
    """Nodules in a row of 4000 voxels whose log lengths have components of known standard deviations."""
    logs = 5.5 + patients * rng.normal(size=(n, 1)) + raters * rng.normal(size=m) + rest * rng.normal(size=(n, m))
    return np.exp(logs).round().astype(int)


def nested_discs(sizes):
    return [
        measured(f"{i:03d}", {f"r{k:02d}": np.arange(4000) < n for k, n in enumerate(row)})
        for i, row in enumerate(sizes)
    ]


def test_the_bias_in_volume_has_the_components_of_the_logarithms():
    sizes = lengths(np.random.default_rng(0), 12, 4)
    found = by_key(plans(nested_discs(sizes), LABELS, stable=True, samples=300))
    these, others = (found["volume_log_ratio", "nodule", s] for s in (THESE_RATERS, ANY_RATERS))
    variance = crossed_variance(np.log(sizes))
    assert these.half_width == pytest.approx(1.96 * math.sqrt(variance.rest * 4 / 3 / 12))
    assert others.half_width == pytest.approx(1.96 * math.sqrt(variance.raters / 3 + variance.rest * 4 / 3 / 12))
    assert others.rater_share == pytest.approx(variance.raters / 3 / (others.half_width / 1.96) ** 2)
    assert these.patient_share == pytest.approx(0, abs=1e-12)  # a patient's size cancels
    assert these.needed.patients == 48
    assert these.needed.raters is None
    assert these.resampled_patients == pytest.approx(0.5, abs=0.08)
    for plan in found.values():
        assert plan.patient_share + plan.rater_share + plan.rest_share == pytest.approx(1)


def test_dice_and_kappa_of_these_raters_are_as_wide_as_the_patients_say():
    statistics = nested_discs(lengths(np.random.default_rng(1), 8, 4))
    found = by_key(plans(statistics, LABELS, stable=True, samples=100))
    dice = [np.mean([p.dice for p in c.pairs]) for c in statistics]
    kappa = [c.votes.fleiss_kappa[0] for c in statistics]
    for figure, structure, values in (("dice", "nodule", dice), ("fleiss_kappa", ALL_CLASSES, kappa)):
        these, others = (found[figure, structure, scope] for scope in (THESE_RATERS, ANY_RATERS))
        assert these.value == pytest.approx(np.mean(values))
        assert these.half_width == pytest.approx(1.96 * np.std(values, ddof=1) / math.sqrt(8))
        assert these.needed.patients == 32
        assert others.half_width >= these.half_width
    # of any raters, more by what raters do to Dice in every case, by leaving each out
    table = np.zeros((8, 4))
    for i, case in enumerate(statistics):
        for r, name in enumerate(case.raters):
            without = np.mean([p.dice for p in case.pairs if name not in (p.rater_a, p.rater_b)])
            table[i, r] = 4 * dice[i] - 3 * without
    more = (others_width(found, "dice") / 1.96) ** 2 - np.var(dice, ddof=1) / 8
    assert more == pytest.approx(crossed_variance(table).raters / 4)


def others_width(found, figure):
    return found[figure, "nodule", ANY_RATERS].half_width


def test_without_identities_nothing_is_said_of_raters():
    rng = np.random.default_rng(2)
    statistics = nested_discs(lengths(rng, 10, 3))
    found = plans(statistics, LABELS, stable=False, samples=100)
    assert {p.scope for p in found} == {THESE_RATERS}
    assert {p.figure for p in found} == {"fleiss_kappa", "dice"}
    dice = by_key(found)["dice", "nodule", THESE_RATERS]
    values = [np.mean([p.dice for p in c.pairs]) for c in statistics]
    # all there is to know without names: the spread of the patients' figures
    assert dice.half_width == pytest.approx(1.96 * np.std(values, ddof=1) / math.sqrt(10))
    assert dice.needed.patients == 40


def test_two_raters_and_few_patients():
    statistics = nested_discs(lengths(np.random.default_rng(3), 6, 2))
    found = by_key(plans(statistics, LABELS, stable=True, samples=100))
    # neither of two can be left out, so kappa is planned by patients alone; volumes need no leaving out
    assert found["fleiss_kappa", "nodule", THESE_RATERS].needed == Needed(24, None, None)
    assert ("fleiss_kappa", "nodule", ANY_RATERS) not in found
    assert ("volume_log_ratio", "nodule", ANY_RATERS) in found
    assert plans(statistics[:1], LABELS, stable=True) == ()
    assert plans(statistics[:1], LABELS, stable=False) == ()


def test_cases_of_one_patient_are_one():
    sizes = lengths(np.random.default_rng(4), 10, 4)
    once = plans(nested_discs(sizes), LABELS, stable=True, samples=50)
    twice = [
        measured(f"{i}-{copy}", {f"r{k:02d}": np.arange(4000) < n for k, n in enumerate(row)}, patient=f"{i:03d}")
        for i, row in enumerate(sizes)
        for copy in range(2)
    ]
    for one, other in zip(once, plans(twice, LABELS, stable=True, samples=50), strict=True):
        assert other.half_width == pytest.approx(one.half_width)
        assert other.needed.patients == one.needed.patients


def votes(rng, n, errors):
    """``(n, raters, 60)``: rater k changes each of 60 voxels, half of them drawn, with chance ``errors[k]``."""
    truth = rng.random((n, 1, 60)) < rng.beta(8, 8, size=(n, 1, 1))
    return truth ^ (rng.random((n, len(errors), 60)) < np.asarray(errors)[:, None])


def mean_kappa(masks):
    drawn = masks.sum(axis=1)
    counts = np.stack([masks.shape[1] - drawn, drawn], axis=-1)
    return np.mean([kappa_of_counts(c) for c in counts])


def quick(name, masks):
    """What planning kappa needs of a case, and nothing of pairs."""
    found = vote_patterns(masks.astype(np.uint8), 2)
    table = PatternTable(found.labels, found.voxels)
    names = tuple(f"{k:02d}" for k in range(len(masks)))
    tables = vote_tables(table.labels, table.voxels, np.ones(len(table.voxels), dtype=bool), LABELS)
    return CaseStatistics(name, name, "", names, False, table, tables, (), (), (), (), 0, {}, math.nan, (), ())


@pytest.mark.parametrize(
    ("lever", "scope", "n", "m"), [("patients", THESE_RATERS, 16, 5), ("raters", ANY_RATERS, 40, 6)]
)
def test_the_number_recommended_for_kappa_halves_its_interval(lever, scope, n, m):
    """In simulation, to within a tenth of the present width: 0.4 to 0.6 of it."""
    rng = np.random.default_rng(5)
    these = rng.uniform(0.01, 0.25, size=m)

    def raters(number):
        return these if scope == THESE_RATERS else rng.uniform(0.01, 0.25, size=number)

    def spread(num_patients, num_raters, repetitions):
        return np.std([mean_kappa(votes(rng, num_patients, raters(num_raters))) for _ in range(repetitions)])

    now, ratios = spread(n, m, 100), []
    for _ in range(5):  # pilots
        pilot = [quick(str(i), masks) for i, masks in enumerate(votes(rng, n, raters(m)))]
        needed = by_key(plans(pilot, LABELS, True, "whole", 50))["fleiss_kappa", ALL_CLASSES, scope].needed
        number = getattr(needed, lever)
        if number is not None:
            ratios.append(spread(*((number, m) if lever == "patients" else (n, number)), 50) / now)
    assert len(ratios) >= 4
    assert 0.4 < np.median(ratios) < 0.6, ratios


def test_sentences():
    found = by_key(plans(nested_discs(lengths(np.random.default_rng(0), 12, 4)), LABELS, stable=True, samples=50))
    text = plan_sentence(found["volume_log_ratio", "nodule", THESE_RATERS])
    assert text.startswith("To halve the interval of a reader's bias in volume on nodule over patients, now ")
    assert text.endswith(" % either way: read 36 more patients.")
    text = plan_sentence(found["volume_log_ratio", "nodule", ANY_RATERS])
    assert "over patients and readers" in text
