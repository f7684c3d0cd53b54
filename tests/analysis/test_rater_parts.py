import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.case_agreement import case_statistics
from probseg.analysis.rater_parts import Readings, dice_of_pairs, kappa_of_pairs
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


def test_pseudo_values_by_hand():
    # pairs ab 1, ac 2, bc 3: mean 2, without a 3, b 2, c 1; 3 * 2 - 2 * f
    found = Readings.of(symmetric([1.0, 2.0, 3.0], 3))
    assert found.pseudo.tolist() == [0.0, 2.0, 4.0]
    assert found.within == pytest.approx(4 / 3)  # variance 4 of three
    for few in (symmetric([1.0], 2), np.full((1, 1), np.nan), symmetric([1.0, np.nan, 2.0], 3)):
        assert np.isnan(Readings.of(few).pseudo).all() and math.isnan(Readings.of(few).within)


@pytest.mark.parametrize("raters", [4, 6])
@pytest.mark.parametrize("kind", ["each rater adds", "each pair adds"])
def test_the_variance_within_a_case_is_right_on_average(raters, kind):
    """Leaving one out is right where each rater adds a part, and says too much where pairs have values of their own."""
    rng = np.random.default_rng(raters)
    means, within, jackknife = [], [], []
    for _ in range(2000):
        g = rng.normal(size=raters)
        a = g[:, None] + g if kind == "each rater adds" else np.sign(np.outer(g, g))
        pairs = symmetric(a[np.triu_indices(raters, 1)], raters)
        found = Readings.of(pairs)
        means.append(np.nanmean(pairs))
        within.append(found.within)
        jackknife.append(found.pseudo.var(ddof=1) / raters)
    truth = np.var(means)
    assert np.mean(within) == pytest.approx(truth, rel=0.12)
    assert (np.mean(jackknife) > 2 * truth) == (kind == "each pair adds")


@given(st.integers(0, 1000), st.integers(3, 5))
@settings(max_examples=15, deadline=None)
def test_dice_of_pairs_is_the_table(seed, raters):
    case = measured(np.random.default_rng(seed).integers(0, 3, size=(raters, 20)))
    whole, pairs = dice_of_pairs(case, LABELS)
    for k, structure in enumerate(LABELS.structures):
        rows = [p.dice for p in case.pairs if p.structure == structure]
        assert whole[k] == pytest.approx(np.nanmean(rows))
        assert np.nanmean(pairs[k]) == pytest.approx(np.nanmean(rows))


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_kappa_moves_as_its_pairs_say(seed):
    """Votes that change a little change kappa, in first order, by what the pairs add."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, size=3000)
    masks = np.where(rng.random((4, 3000)) < 0.15, rng.integers(0, 3, size=(4, 3000)), truth)
    whole, pairs = kappa_of_pairs(measured(masks), LABELS, "whole")
    # leaving a rater out, by the pairs and in truth
    for r in range(4):
        rest = np.delete(np.arange(4), r)
        by_pairs = np.nanmean(np.where(np.eye(3, dtype=bool), np.nan, pairs[0][np.ix_(rest, rest)]))
        every = np.nanmean(np.where(np.eye(4, dtype=bool), np.nan, pairs[0]))
        moved = measured(masks[rest]).votes.fleiss_kappa[0] - whole[0]
        assert by_pairs - every == pytest.approx(moved, abs=2e-3)
    assert pairs.shape == (4, 4, 4)


def test_where_kappa_is_undefined():
    whole, pairs = kappa_of_pairs(measured([[0, 0], [0, 0], [0, 0]]), LABELS, "whole")
    assert np.isnan(whole).all() and np.isnan(pairs).all()
    assert kappa_of_pairs(measured([[0, 1]]), LABELS, "whole")[1].shape == (4, 1, 1)
