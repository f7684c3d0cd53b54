"""Space into channels and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probseg.networks.folding import fold, pad_to_multiple, unfold


@given(st.integers(1, 3), st.integers(1, 3), st.sampled_from([2, 3]))
def test_unfold_undoes_fold(factor, channels, dimensions):
    space = [factor * k for k in (2, 3, 1)[:dimensions]]
    x = torch.randn(2, channels, *space)
    folded = fold(x, factor)
    assert folded.shape == (2, channels * factor**dimensions, *(n // factor for n in space))
    assert torch.equal(unfold(folded, factor), x)


@pytest.mark.parametrize("space", [(4, 6), (4, 6, 2)])
def test_each_position_holds_its_own_patch(space):
    x = torch.arange(float(torch.tensor(space).prod())).reshape(1, 1, *space)
    corner = x[(0, 0, *(slice(0, 2) for _ in space))]
    assert torch.equal(fold(x, 2)[(0, slice(None), *(0 for _ in space))], corner.flatten())


def test_padding_repeats_the_edge():
    x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    assert pad_to_multiple(x, 2).tolist() == [[[[1, 2, 3, 3], [1, 2, 3, 3]]]]
    assert pad_to_multiple(x, 1) is x
    assert pad_to_multiple(torch.ones(1, 1, 3, 3, 5), 4).shape == (1, 1, 4, 4, 8)
    assert pad_to_multiple(torch.ones(1, 1, 3, 3, dtype=torch.bool), 2)[0, 0, 3].tolist() == [False] * 4
