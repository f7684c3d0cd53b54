import math

import numpy as np
import pytest

from probseg.analysis.volume_agreement import bland_altman, icc
from probseg.errors import ProbsegError

# Shrout and Fleiss (1979), table 2: six targets, four judges.
SHROUT = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


def test_published_example():
    absolute, consistent = icc(SHROUT), icc(SHROUT, "3,1")
    assert absolute.value == pytest.approx(0.29, abs=5e-3)
    assert consistent.value == pytest.approx(0.71, abs=6e-3)
    assert (absolute.n, consistent.n) == (6, 6)
    # McGraw and Wong's intervals of the same table: [.02, .76] and [.34, .95]
    assert (absolute.low, absolute.high) == (pytest.approx(0.02, abs=5e-3), pytest.approx(0.76, abs=5e-3))
    assert (consistent.low, consistent.high) == (pytest.approx(0.34, abs=5e-3), pytest.approx(0.95, abs=5e-3))


def test_a_constant_bias_counts_for_agreement_and_not_for_consistency():
    truth = np.random.default_rng(0).normal(size=50)
    table = np.stack([truth, truth + 2.0], axis=1)
    assert icc(table, "3,1").value == pytest.approx(1.0)
    assert icc(table).value < 0.6


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(1)
    hits, trials = np.zeros(2), 400
    for _ in range(trials):
        # variances 4 between cases, 1 between raters, 1 left: ICC(2,1) = 4/6; without raters 4/5
        cases, raters, rest = 2 * rng.normal(size=(30, 1)), rng.normal(size=5), rng.normal(size=(30, 5))
        for j, (table, kind, truth) in enumerate(
            ((cases + raters + rest, "2,1", 4 / 6), (cases + raters + rest, "3,1", 4 / 5))
        ):
            found = icc(table, kind)
            hits[j] += found.low <= truth <= found.high
    assert (np.abs(hits / trials - 0.95) < 0.04).all()


def test_gaps_and_what_is_undefined():
    table = np.vstack([SHROUT, [1.0, np.nan, 2.0, 3.0]])
    assert icc(table) == icc(SHROUT)
    for nothing in (SHROUT[:1], SHROUT[:, :1], np.full((4, 3), 7.3), np.zeros((4, 3))):
        assert math.isnan(icc(nothing).value)
    with pytest.raises(ProbsegError, match="E_ARGUMENT"):
        icc(SHROUT, "1,1")  # type: ignore[arg-type]


def test_perfect_agreement_has_no_width():
    table = np.repeat([[1.0], [2.0], [5.0]], 3, axis=1)
    assert icc(table)[:3] == (pytest.approx(1.0),) * 3
    assert icc(table, "3,1")[:3] == (pytest.approx(1.0),) * 3


def test_bland_altman_by_hand():
    # differences 1, 3, 2 and a gap: mean 2, SD 1
    found = bland_altman([2, 5, 4, math.nan], [1, 2, 2, 7])
    assert found == (pytest.approx(2.0), pytest.approx(0.04), pytest.approx(3.96), 3)
    one = bland_altman([2], [1])
    assert one.bias == 1.0
    assert math.isnan(one.low)
    assert math.isnan(bland_altman([], []).bias)
