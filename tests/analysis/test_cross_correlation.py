"""NCC of expected cross entropies: by hand, against the definition pair by pair, and where it is undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probseg.analysis.cross_correlation import normalized_cross_correlation


def binary(foreground: list[list[float]]) -> np.ndarray:
    """``(N, 2, voxels)`` of the probability of class 1."""
    p = np.array(foreground)
    return np.stack([1 - p, p], axis=1)


def definition(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """The formulas of the docstring, a reading and a rater at a time, on flat images."""
    mean = probabilities.mean(axis=0)
    among = np.mean([-(mean * np.log(s + 1e-8)).sum(axis=0) for s in probabilities], axis=0)
    found = []
    for mask in masks:
        hot = np.stack([mask == c for c in range(probabilities.shape[1])])
        between = np.mean([-(hot * np.log(s + 1e-8)).sum(axis=0) for s in probabilities], axis=0)
        found.append(np.corrcoef(among, between)[0, 1])
    return float(np.mean(found))


def test_one_reading_by_hand():
    # p = 1/2, 1/4, 1/4: entropies log 2, and twice 2 log 2 - 3/4 log 3
    # rater 0 0 0: -log p = log 2, log 4/3, log 4/3, so both maps have one high voxel, the first: correlation 1
    p = binary([[1 / 2, 1 / 4, 1 / 4]])
    assert normalized_cross_correlation(p, np.array([[0, 0, 0]])) == pytest.approx(1.0)
    # rater 0 1 1: log 2, log 4, log 4, low where the model is least sure: -1
    assert normalized_cross_correlation(p, np.array([[0, 1, 1]])) == pytest.approx(-1.0)
    # rater 0 0 1: log 2, log 4/3, log 4. In the basis of (2, -1, -1) the model is that; the dot product is
    # 2 log 2 - log 4/3 - log 4 = log 3/4, over sqrt 6 and the norm of what is left of the mean of the logs, log(32/3)/3
    logs = np.log([2, 4 / 3, 4]) - math.log(32 / 3) / 3
    expected = math.log(3 / 4) / math.sqrt(6 * (logs**2).sum())
    assert normalized_cross_correlation(p, np.array([[0, 0, 1]])) == pytest.approx(expected)
    # and of all three raters the mean
    raters = np.array([[0, 0, 0], [0, 1, 1], [0, 0, 1]])
    assert normalized_cross_correlation(p, raters) == pytest.approx(expected / 3)


def test_constant_maps_have_no_correlation():
    raters = np.array([[0, 1, 1, 0], [1, 0, 0, 0]])
    assert math.isnan(normalized_cross_correlation(binary([[0.5] * 4, [0.5] * 4]), raters))  # equally unsure
    assert math.isnan(normalized_cross_correlation(binary([[0.3, 0.7, 0.7, 0.3]]), raters))  # up to rounding
    assert math.isnan(normalized_cross_correlation(binary([[0.0, 1.0, 1.0, 0.0]] * 3), raters))  # sure of one mask
    # Sure, but of two masks: 0110 and 0100 differ at one voxel, where the second rater's mask is as unlikely
    differ = binary([[0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    assert normalized_cross_correlation(differ, np.array([[0, 1, 0, 0]])) == pytest.approx(1.0)
    # Of two raters the one whose cross entropy is constant is left out: two voxels, of which only one is known
    rated = np.array([[True] * 4, [True, False, False, False]])
    alone = normalized_cross_correlation(differ, raters[:1])
    assert normalized_cross_correlation(differ, raters, rated) == alone


def test_nobody():
    p = binary([[0.2, 0.4, 0.9]])
    assert math.isnan(normalized_cross_correlation(p, np.zeros((0, 3), int)))
    assert math.isnan(normalized_cross_correlation(p[:0], np.array([[0, 1, 1]])))
    assert math.isnan(normalized_cross_correlation(p, np.array([[0, 1, 1]]), np.zeros((1, 3), bool)))
    assert math.isnan(normalized_cross_correlation(p, np.full((1, 3), 9)))  # a group names no class
    assert not math.isnan(normalized_cross_correlation(p, np.zeros((1, 3), int)))  # an empty mask is a mask


def drawn(seed: int, n: int, classes: int, space: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(classes) / 2, (n, *space)).transpose(0, -1, *range(1, len(space) + 1)), rng.integers(
        0, classes, (3, *space)
    )


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(2, 4), st.sampled_from([(3, 5), (2, 3, 4)]), st.booleans())
def test_equal_to_the_definition_whatever_the_blocks(seed, n, classes, space, small):
    p, masks = drawn(seed, n, classes, space)
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr("probseg.analysis.cross_correlation._BLOCK_BYTES", 200)
        got = normalized_cross_correlation(p, masks)
    assert got == pytest.approx(definition(p.reshape(n, classes, -1), masks.reshape(3, -1)), abs=1e-12)


@given(st.integers(0, 1000), st.permutations(range(3)), st.permutations(range(4)))
def test_order_and_copies_and_absent_raters_change_nothing(seed, raters, readings):
    p, masks = drawn(seed, 4, 3, (4, 4))
    expected = normalized_cross_correlation(p, masks)
    assert normalized_cross_correlation(p[list(readings)], masks[list(raters)]) == pytest.approx(expected, abs=1e-12)
    assert normalized_cross_correlation(np.repeat(p, 2, 0), np.repeat(masks, 3, 0)) == pytest.approx(expected)
    more = np.concatenate([masks, np.ones((1, 4, 4), int)])
    rated = np.ones(more.shape, bool)
    rated[3] = False
    assert normalized_cross_correlation(p, more, rated) == pytest.approx(expected, abs=1e-12)
