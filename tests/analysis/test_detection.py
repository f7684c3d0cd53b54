import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probseg.analysis.detection import auroc, auroc_of_counts, average_precision, average_precision_of_counts


def test_by_hand():
    # positives 0.35, 0.8 against negatives 0.1, 0.4: three of four pairs are won
    score, positive = [0.1, 0.4, 0.35, 0.8], [False, False, True, True]
    assert auroc(score, positive) == 0.75
    assert average_precision(score, positive) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert auroc([1, 1, 1], [True, False, True]) == 0.5
    assert average_precision([1, 1, 1, 1], [True, False, False, False]) == 0.25


@pytest.mark.oracle
@given(st.integers(0, 10_000), st.integers(2, 40), st.booleans())
@settings(max_examples=40, deadline=None)
def test_equals_scikit_learn(seed, n, ties):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 4, n) / 3 if ties else rng.normal(size=n)
    positive = rng.random(n) < 0.4
    positive[:2] = [True, False]
    weights = rng.integers(1, 4, n)
    assert auroc(score, positive) == pytest.approx(metrics.roc_auc_score(positive, score))
    assert average_precision(score, positive) == pytest.approx(metrics.average_precision_score(positive, score))
    oracle = metrics.roc_auc_score(positive, score, sample_weight=weights)
    assert auroc(score, positive, weights) == pytest.approx(oracle)
    oracle = metrics.average_precision_score(positive, score, sample_weight=weights)
    assert average_precision(score, positive, weights) == pytest.approx(oracle)


def test_counts_of_many_at_once_are_those_of_each():
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 5, (2, 3, 4, 10))
    for f in (auroc_of_counts, average_precision_of_counts):
        each = [[f(positive[i, j], negative[i, j]) for j in range(4)] for i in range(3)]
        np.testing.assert_allclose(f(positive, negative), each)


def test_undefined():
    assert math.isnan(auroc([1, 2], [True, True])) and math.isnan(auroc([], []))
    assert math.isnan(average_precision([1, 2], [False, False]))
    assert auroc([1, 2, math.nan], [False, True, True]) == 1.0


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_laws(seed):
    rng = np.random.default_rng(seed)
    score, positive = rng.normal(size=30), np.arange(30) % 3 == 0
    assert auroc(-score, positive) == pytest.approx(1 - auroc(score, positive))
    assert auroc(np.exp(score), positive) == auroc(score, positive)
    again = np.repeat(score, 2), np.repeat(positive, 2)
    assert auroc(*again) == pytest.approx(auroc(score, positive, np.full(30, 2)))
