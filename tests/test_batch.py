"""Cases become tensors: padding of raters, what is not rated, and moving all at once."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from probseg.batch import NOBODY, Batch, Example, collate
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
    assert len(tensors) == 12
    assert {t.device.type for t in tensors} == {"meta"}
    assert batch.case_ids == ("c0",)
    assert isinstance(batch, Batch)
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.sites = ()


def named(raters: tuple[int, ...], virtual: tuple[str, ...] = (), fill: int = 0) -> Example:
    """An example whose mask k is k + 1 everywhere, of these raters and then of the virtual ones."""
    slots = len(raters) + len(virtual)
    masks = torch.arange(1, slots + 1, dtype=torch.uint8).reshape(-1, 1, 1).expand(slots, 2, 3) + fill
    plain = example(1)
    workload = tuple(10 * r + 10 for r in raters)
    return dataclasses.replace(
        plain,
        masks=masks,
        rated=torch.ones_like(masks, dtype=torch.bool),
        rater=raters,
        workload=workload,
        virtual=virtual,
    )


def test_a_batch_says_who_drew_each_mask():
    batch = collate([named((2, 0, 1)), named((1,)), example(2)])
    assert batch.rater.tolist() == [[2, 0, 1], [1, NOBODY, NOBODY], [NOBODY] * 3]
    assert batch.workload.tolist() == [[30, 10, 20], [20, 0, 0], [0, 0, 0]]
    assert batch.rater.dtype == batch.workload.dtype == torch.int64


def test_a_batch_that_is_not_told_knows_nobody():
    batch = collate([example(2), example(1)])
    plain = {k: v for k, v in vars(batch).items() if k not in ("rater", "workload", "virtual_masks", "virtual_rated")}
    batch = Batch(**plain)
    assert batch.rater.tolist() == [[NOBODY, NOBODY], [NOBODY, NOBODY]]
    assert batch.workload.tolist() == [[0, 0], [0, 0]]
    assert batch.virtual_masks.shape == batch.virtual_rated.shape == (2, 0, 2, 3)


def test_virtual_raters_leave_the_masks():
    batch = collate([named((0, 1), ("STAPLE",)), named((1,), ("STAPLE",), fill=4)])
    assert batch.masks[:, :, 0, 0].tolist() == [[1, 2], [5, 0]]
    assert batch.rated[:, :, 0, 0].tolist() == [[True, True], [True, False]]
    assert batch.virtual == ("STAPLE",)
    assert batch.virtual_masks[:, :, 0, 0].tolist() == [[3], [6]]
    assert batch.virtual_rated.all()
    assert batch.rater.tolist() == [[0, 1], [1, NOBODY]]


def test_examples_with_other_virtual_raters_are_refused():
    with pytest.raises(ProbsegError, match=r"E_SHAPE_MISMATCH.*same virtual raters"):
        collate([named((0,), ("STAPLE",)), named((0, 1))])


def test_a_batch_says_which_slices_are_of_one_scan():
    slices = [dataclasses.replace(example(1, index=k), scan=4, voxel_ml=0.5) for k in (7, 8)]
    batch = collate([*slices, example(2, index=9)])
    assert batch.scan.tolist() == [4, 4, 9]
    assert batch.voxel_ml[:2].tolist() == [0.5, 0.5] and batch.voxel_ml[2].isnan()
    plain = Batch(**{k: v for k, v in vars(batch).items() if k not in ("scan", "voxel_ml")})
    assert plain.scan.tolist() == [7, 8, 9] and plain.voxel_ml.isnan().all()
