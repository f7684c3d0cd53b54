"""Cases become tensors: padding of raters, what is not rated, and moving all at once."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from probseg.batch import Batch, Example, collate
from probseg.errors import ProbsegError


def example(raters: int, space: tuple[int, ...] = (2, 3), index: int = 0) -> Example:
    masks = torch.full((raters, *space), index + 1, dtype=torch.uint8)
    rated = torch.ones(raters, *space, dtype=torch.bool)
    rated[:, ..., 0] = False
    spacing = torch.full((len(space),), 0.5)
    return Example(torch.full((1, *space), 0.1 * index), masks, rated, index, index + 10, f"c{index}", "s", spacing)


@pytest.mark.parametrize("space", [(2, 3), (2, 2, 3)])
def test_raters_are_padded_and_what_is_not_rated_is_zero(space):
    batch = collate([example(1, space, 0), example(3, space, 1)])
    assert len(batch) == 2
    assert batch.image.shape == (2, 1, *space)
    assert batch.masks.shape == batch.rated.shape == (2, 3, *space)
    assert batch.masks.dtype == torch.uint8
    assert not batch.rated[0, 1:].any()
    assert (batch.masks[~batch.rated] == 0).all()
    assert (batch.masks[1][batch.rated[1]] == 2).all()
    assert batch.index.tolist() == [0, 1]
    assert batch.patient.tolist() == [10, 11]
    assert batch.case_ids == ("c0", "c1")
    assert batch.spacing_mm.shape == (2, len(space))


def test_the_examples_are_left_as_they_were():
    one = example(1)
    collate([one, one])
    assert one.masks.min() == 1


def test_images_of_different_shape_are_refused():
    with pytest.raises(ProbsegError, match=r"E_SHAPE_MISMATCH.*data\.crop"):
        collate([example(1), example(1, (3, 3))])


def test_to_moves_every_tensor_and_keeps_the_names():
    batch = collate([example(2)]).to("meta")
    tensors = [v for v in vars(batch).values() if isinstance(v, torch.Tensor)]
    assert len(tensors) == 6
    assert {t.device.type for t in tensors} == {"meta"}
    assert batch.case_ids == ("c0",)
    assert isinstance(batch, Batch)
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.sites = ()
