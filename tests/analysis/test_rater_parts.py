import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.case_agreement import case_statistics
from probseg.analysis.rater_parts import Parts, Readings, dice_parts, kappa_parts
from probseg.case import Case, Geometry
from probseg.labels import LabelClass, LabelGroup, LabelSet

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid")),),
)


def measured(masks):
    arrays = {f"r{k}": np.array(m, dtype=np.uint8)[None] for k, m in enumerate(masks)}
    shape = arrays["r0"].shape
    case = Case("c", "p", "", np.zeros(shape, np.int16), arrays, Geometry(shape, None))
    return case_statistics(case, LABELS, region="whole")


def symmetric(values, m):
    pairs = np.full((m, m), np.nan)
    pairs[np.triu_indices(m, 1)] = values
    return np.where(np.isnan(pairs), pairs.T, pairs)


def parts(pairs):
    """A figure that is the mean over pairs."""
    num = len(pairs)
    without = [np.nanmean(np.delete(np.delete(pairs, r, 0), r, 1)) if num > 2 else np.nan for r in range(num)]
    return Parts(np.array([np.nanmean(pairs)]), np.array(without)[:, None], pairs[None])


def test_pseudo_values_by_hand():
    # pairs ab 1, ac 2, bc 3: mean 2, without a 3, b 2, c 1; 3 * 2 - 2 * f
    found = Readings.of(parts(symmetric([1.0, 2.0, 3.0], 3)), 0)
    assert found.pseudo.tolist() == [0.0, 2.0, 4.0]
    assert found.jackknife == pytest.approx(4 / 3)  # variance 4 of three
    assert math.isnan(found.of_pairs[0])  # three raters have no two pairs apart
    assert math.isnan(Readings.of(parts(symmetric([1.0], 2)), 0).jackknife)
    # ab 1, the other five pairs 0: the mean is 1/6; the products of ab with cd and so on are all 0
    four = Readings.of(parts(symmetric([1.0, 0, 0, 0, 0, 0], 4)), 0)
    assert four.of_pairs == (pytest.approx(four.jackknife), pytest.approx(1 / 36))


@pytest.mark.parametrize("raters", [4, 6])
@pytest.mark.parametrize("kind", ["each rater adds", "each pair adds"])
def test_the_variance_within_a_case_is_right_on_average(raters, kind):
    """Leaving one out is right where each rater adds a part, and says too much where pairs have parts of their own."""
    rng = np.random.default_rng(raters)
    means, unbiased, jackknife = [], [], []
    for _ in range(2000):
        g = rng.normal(size=raters)
        a = g[:, None] + g if kind == "each rater adds" else np.sign(np.outer(g, g))
        found = Readings.of(parts(symmetric(a[np.triu_indices(raters, 1)], raters)), 0)
        means.append(a[np.triu_indices(raters, 1)].mean())
        unbiased.append(found.of_pairs[1])
        jackknife.append(found.jackknife)
    truth = np.var(means)
    assert np.mean(unbiased) == pytest.approx(truth, rel=0.12)
    assert (np.mean(jackknife) > 2 * truth) == (kind == "each pair adds")


@given(st.integers(0, 1000), st.integers(3, 5))
@settings(max_examples=10, deadline=None)
def test_dice_is_the_table(seed, raters):
    case = measured(np.random.default_rng(seed).integers(0, 3, size=(raters, 20)))
    found = dice_parts(case, LABELS)
    for k, structure in enumerate(LABELS.structures):
        rows = [p for p in case.pairs if p.structure == structure]
        assert found.whole[k] == pytest.approx(np.nanmean([p.dice for p in rows]))
        without = [p.dice for p in rows if "r1" not in (p.rater_a, p.rater_b)]
        assert found.without[1, k] == pytest.approx(np.nanmean(without))
        # what pairs add is the figure itself, so both ways of leaving one out are one
        if raters > 3:
            readings = Readings.of(found, k)
            assert readings.of_pairs[0] == pytest.approx(readings.jackknife)


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_kappa_moves_as_its_pairs_say(seed):
    """Over a region that stays, leaving a rater out moves kappa by what the pairs add, in first order."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, size=3000)
    masks = np.where(rng.random((4, 3000)) < 0.15, rng.integers(0, 3, size=(4, 3000)), truth)
    found = kappa_parts(measured(masks), LABELS, "whole")
    assert found.whole.tolist() == measured(masks).votes.fleiss_kappa.tolist()
    assert found.pairs.shape == (4, 4, 4)
    every = np.nanmean(np.where(np.eye(4, dtype=bool), np.nan, found.pairs[0]))
    for r in range(4):
        rest = np.delete(np.arange(4), r)
        by_pairs = np.nanmean(np.where(np.eye(3, dtype=bool), np.nan, found.pairs[0][np.ix_(rest, rest)]))
        assert found.without[r, 0] == pytest.approx(measured(masks[rest]).votes.fleiss_kappa[0])
        assert by_pairs - every == pytest.approx(found.without[r, 0] - found.whole[0], abs=2e-3)


def test_where_kappa_is_undefined():
    found = kappa_parts(measured([[0, 0], [0, 0], [0, 0]]), LABELS, "whole")
    assert np.isnan(found.whole).all() and np.isnan(found.pairs).all()
    alone = kappa_parts(measured([[0, 1]]), LABELS, "whole")
    assert alone.without.shape == (1, 4) and alone.pairs.shape == (4, 1, 1)
