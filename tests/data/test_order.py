"""The endless order of training examples."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probseg.data.order import Shuffled, Weighted


@given(st.integers(1, 40), st.integers(0, 2**40), st.integers(0, 5))
def test_every_example_comes_once_before_any_comes_again(count, seed, lap):
    order = Shuffled(count, seed)
    assert sorted(order[k] for k in range(lap * count, (lap + 1) * count)) == list(range(count))


def test_a_position_says_the_same_whatever_was_asked_before():
    forward, backward = Shuffled(30, 5), Shuffled(30, 5)
    assert [forward[k] for k in range(200)] == [backward[k] for k in reversed(range(200))][::-1]


def test_laps_and_seeds_differ():
    order = Shuffled(30, 5)
    laps = {tuple(order[k] for k in range(30 * lap, 30 * lap + 30)) for lap in range(10)}
    assert len(laps) == 10
    assert tuple(Shuffled(30, 6)[k] for k in range(30)) not in laps


def test_weights_say_how_often_an_example_comes():
    weights = torch.tensor([0.5, 0.0, 0.3, 0.2])
    order = Weighted(weights, 3)
    seen = Counter(order[k] for k in range(10_000))
    assert seen[1] == 0
    for index, share in enumerate(weights.tolist()):
        spread = (10_000 * share * (1 - share)) ** 0.5
        assert seen[index] == pytest.approx(10_000 * share, abs=4 * spread + 1e-9)
