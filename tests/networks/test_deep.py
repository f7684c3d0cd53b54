"""Deep supervision: labels at a coarser level, and weights."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probseg.networks import coarsened, level_weights


def test_the_middle_of_each_block_is_picked():
    x = torch.arange(6, dtype=torch.uint8).reshape(1, 1, 6)  # one row
    assert coarsened(x, 0, 2) is x
    assert coarsened(x, 1, 2).tolist() == [[[1, 3, 5]]]
    assert coarsened(x, 2, 2).tolist() == [[[2, 5]]]  # the middle of 4..7 would be 6, outside
    assert coarsened(x > 2, 1, 2).tolist() == [[[False, True, True]]]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=3), st.integers(0, 3))
def test_sizes_are_rounded_up(space, level):
    x = torch.zeros(2, 3, *space)
    assert coarsened(x, level, len(space)).shape == (2, 3, *(-(-n // 2**level) for n in space))


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_weights_halve_and_sum_to_one(levels):
    weights = level_weights(levels)
    assert sum(weights) == pytest.approx(1)
    assert all(a == pytest.approx(2 * b) for a, b in pairwise(weights))
