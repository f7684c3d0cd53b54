"""Bins of equal mass, exact and of cells over a stream."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probseg.analysis.calibration import cell_counts, classwise_calibration_error, classwise_gaps, equal_mass_gaps
from probseg.analysis.calibration.classwise import cells_of
from probseg.errors import ProbsegError

# Two pixels, four raters: foreground 0.7 and 0.2; three raters draw the first, one the second.
P = np.array([[0.3, 0.8], [0.7, 0.2]])
Y = np.array([[1, 0], [1, 0], [1, 1], [0, 0]])


def test_bins_of_equal_mass_by_hand():
    """Four voxels of one class, two bins: (0.1, 0.3) with shares 0 and 0.5, (0.6, 0.8) with shares 0.5 and 1."""
    p, q = np.array([[0.6, 0.1, 0.8, 0.3]]), np.array([[0.5, 0.0, 1.0, 0.5]])
    # mean p 0.2 against 0.25, and 0.7 against 0.75
    assert classwise_gaps(p, q, bins=2) == pytest.approx([0.05])
    # one bin: 0.45 against 0.5; four: gaps 0.1, 0.2, 0.1, 0.2
    assert classwise_gaps(p, q, bins=1) == pytest.approx([0.05])
    assert classwise_gaps(p, q, bins=4) == pytest.approx([0.15])
    # three: 4/3 voxels each. 0.1 + 0.3/3 less 0.5/3; 2/3 of (0.3 - 0.5) and of (0.6 - 0.5); 0.6/3 + 0.8 less 0.5/3 + 1
    assert classwise_gaps(p, q, bins=3) == pytest.approx([(0.1 / 3 + 0.2 / 3 + 0.5 / 3) / 4])


def test_classes_count_alike_and_trials_by_their_number():
    # P and Y, one bin a class and four trials a voxel. Class 0: mean p 0.55, hits 1 + 3 of 8; class 1 the same gap
    assert classwise_calibration_error(P, Y, bins=1) == pytest.approx(0.05)
    # two bins: class 0 has 0.3 against 1/4 and 0.8 against 3/4
    assert classwise_calibration_error(P, Y, bins=2) == pytest.approx(0.05)
    rated = np.ones(Y.shape, dtype=bool)
    rated[3, 0] = False
    # seven trials. Class 0: 3 x 0.3 + 4 x 0.8 = 4.1 against 3 hits; class 1: 2.1 + 0.8 = 2.9 against 4
    assert classwise_calibration_error(P, Y, bins=1, rated=rated) == pytest.approx(1.1 / 7)
    beyond = Y.copy()
    beyond[3, 0] = 2
    assert classwise_calibration_error(P, beyond, bins=1) == pytest.approx(1.1 / 7)


def test_the_region_of_classwise_error_is_that_of_the_top_class():
    p = np.zeros((2, 100))
    p[0], p[1, 0] = 1.0, 0.6
    p[0, 0] = 0.4
    masks = np.zeros((1, 100), int)
    # the pixel and its five neighbours, one bin: off by 0.6 / 6 in either class
    assert classwise_calibration_error(p, masks, bins=1) == pytest.approx(0.1)
    assert classwise_calibration_error(p, masks, region=np.ones(100, dtype=bool), bins=1) == pytest.approx(0.006)
    assert math.isnan(classwise_calibration_error(np.stack([np.ones(4), np.zeros(4)]), np.zeros((2, 4), int)))


def test_a_class_that_is_wrong_both_ways_is_seen_though_its_mean_is_right():
    p, q = np.array([[0.2] * 50 + [0.8] * 50]), np.full((1, 100), 0.5)
    assert classwise_gaps(p, q, bins=1) == pytest.approx([0.0])
    assert classwise_gaps(p, q, bins=2) == pytest.approx([0.3])


def test_nan_is_an_error_of_classwise_gaps_too():
    with pytest.raises(ProbsegError, match="E_NONFINITE"):
        classwise_gaps(np.full((2, 3), np.nan), np.zeros((2, 3)))


@given(hnp.arrays(np.float64, (2, 12), elements=st.sampled_from([0.1, 0.25, 0.7])), st.permutations(range(12)))
def test_the_order_of_voxels_makes_no_difference_though_probabilities_tie(p, order):
    hits = (np.arange(24).reshape(2, 12) % 5) / 4.0
    trials = np.arange(12) % 3 + 2.0
    whole = classwise_gaps(p, hits, trials, bins=4)
    np.testing.assert_allclose(whole, classwise_gaps(p[:, order], hits[:, order], trials[order], bins=4), atol=1e-12)
    np.testing.assert_allclose(classwise_gaps(p, p * trials, trials, bins=4), 0, atol=1e-12)


@pytest.mark.oracle
def test_one_rater_and_bins_that_divide_are_scikit_learn():
    calibration = pytest.importorskip("sklearn.calibration")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), size=600)
    y = rng.integers(0, 3, 600)
    hits = np.stack([y == c for c in range(3)])
    for c, gap in enumerate(classwise_gaps(p.T, hits, bins=15)):
        share, mean = calibration.calibration_curve(hits[c], p[:, c], n_bins=15, strategy="quantile")
        assert gap == pytest.approx(np.abs(share - mean).mean(), abs=1e-12)


@pytest.mark.parametrize("fineness", [3, 11])
def test_cells_are_in_the_order_of_p_and_no_wider_than_said(fineness):
    p = np.sort(np.concatenate([np.random.default_rng(0).uniform(size=50_000) ** 4, [0, 0.5, 1, 2.0**-17]]))
    p = np.sort(np.concatenate([p, 1 - p])).astype(np.float32)
    cell = cells_of(p, fineness)
    assert (np.diff(cell) >= 0).all()
    assert (cell[0], cell[-1]) == (0, 2 ** (fineness + 5) - 1)
    for start, stop in zip(
        *(np.flatnonzero(np.append(True, np.diff(cell) > 0)), np.flatnonzero(np.append(np.diff(cell) > 0, True))),
        strict=True,
    ):
        near = min(p[stop], 1 - p[start])
        assert p[stop] - p[start] <= max(near * 2.0**-fineness, 2.0**-16) + 1e-7


def stream(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities mostly near 0 or 1, as networks give them, and raters who are surer still."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-3, 3, n)
    p = 1 / (1 + np.exp(-logit))
    said = rng.uniform(size=(4, n)) < 1 / (1 + np.exp(-1.5 * logit))
    return np.stack([1 - p, p]).astype(np.float32), said.astype(np.uint8)


@pytest.mark.parametrize(("fineness", "close"), [(11, 1e-5), (3, 1e-3)])
def test_a_stream_of_cells_gives_the_exact_figure_but_for_the_cells_at_borders(fineness, close):
    p, y = stream(200_000)
    hits = np.stack([(y == c).sum(axis=0) for c in range(2)])
    exact = classwise_gaps(p, hits, hits.sum(axis=0))
    parts = [cell_counts(p[:, k::7], y[:, k::7], fineness=fineness) for k in range(7)]
    counts = np.sum(parts, axis=0)
    assert counts[..., 2].sum() == 2 * y.size
    error = np.abs(equal_mass_gaps(counts) - exact)
    most = counts[..., 2].max(axis=1) / y.size  # share of the fullest cell
    assert (error <= 14 * most).all()
    assert error.max() < close
    assert exact.max() > 0.02


def test_cells_of_few_distinct_probabilities_are_exact():
    # every cell holds one probability, so that nothing is lost: P and Y as above, two bins
    assert equal_mass_gaps(cell_counts(P, Y), bins=2).mean() == pytest.approx(classwise_calibration_error(P, Y, bins=2))
    rated = np.ones(Y.shape, dtype=bool)
    rated[3, 0] = False
    got = equal_mass_gaps(cell_counts(P, Y, rated), bins=1).mean()
    assert got == pytest.approx(1.1 / 7, abs=1e-7)


def test_no_trial_is_undefined():
    assert np.isnan(equal_mass_gaps(cell_counts(P, np.full((1, 2), 9), fineness=2))).all()
    assert np.isnan(classwise_gaps(np.zeros((2, 0)), np.zeros((2, 0)))).all()


def test_nan_is_an_error_of_cells_too():
    with pytest.raises(ProbsegError, match="E_NONFINITE"):
        cell_counts(np.full((2, 3), np.nan), np.zeros((1, 3), int))


@pytest.mark.oracle
def test_the_mean_over_classes_is_netcal_where_bins_divide():
    metrics = pytest.importorskip("netcal.metrics")
    rng = np.random.default_rng(0)
    p, y = rng.uniform(0.01, 0.99, 600), rng.integers(0, 2, 600)
    oracle = metrics.ECE(15, equal_intervals=False).measure(p, y)
    assert classwise_gaps(p[None], y[None])[0] == pytest.approx(oracle, abs=2e-3)
