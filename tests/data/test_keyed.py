"""Random numbers by what they are for."""

from __future__ import annotations

import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from probseg.data.keyed import key, seeded, start_from


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=4))
def test_a_key_is_a_seed_that_torch_takes(path):
    assert 0 <= key(*path) < 2**63
    assert key(*path) == key(*path)
    torch.Generator().manual_seed(key(*path))


def test_every_path_has_its_own_key():
    paths = [(a, b, c) for a in range(8) for b in range(8) for c in range(8)]
    paths += [(a, b) for a in range(8) for b in range(8)]
    assert len({key(*p) for p in paths}) == len(paths)


def test_inside_the_numbers_start_from_the_seed_and_outside_go_on():
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    before = torch.rand(2)
    with seeded(7):
        inside = torch.rand(3)
    assert torch.equal(torch.cat([before, torch.rand(2)]), expected)
    assert torch.equal(inside, torch.rand(3, generator=torch.Generator().manual_seed(7)))
    assert torch.initial_seed() == 1


def test_numbers_of_numpy_and_python_follow_the_seed_too():
    def drawn() -> tuple[float, float, float]:
        return float(torch.rand(())), float(np.random.random()), random.random()  # noqa: NPY002

    start_from(3)
    first, then = drawn(), drawn()
    start_from(3)
    assert drawn() == first
    with seeded(5):
        inside = drawn()
    assert drawn() == then
    with seeded(5):
        assert drawn() == inside != first
