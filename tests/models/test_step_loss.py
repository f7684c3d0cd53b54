"""The losses of a step over its devices, and one that is no number."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from probseg.batch import Example, collate
from probseg.errors import ProbsegError
from probseg.models.step_loss import over_devices, require_finite_loss


def test_a_number_passes(batch):
    require_finite_loss(torch.tensor(3.0), batch, None)


def test_every_case_is_named_unless_an_image_is_at_fault(batch):
    with pytest.raises(ProbsegError, match="E_NONFINITE_LOSS: the loss of step 0 is nan on 0, 1; look"):
        require_finite_loss(torch.tensor(torch.nan), batch, None)
    image = batch.image.clone()
    image[1, 0, 3, 3] = torch.inf
    with pytest.raises(ProbsegError, match="the loss of step 0 is inf on 1; look"):
        require_finite_loss(torch.tensor(torch.inf), dataclasses.replace(batch, image=image), None)


def told_by(rank: int, folder: str) -> tuple[str, dict[str, float]]:
    """What one of two processes says when the other, of rank 1, meets a loss that is no number."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    empty = torch.zeros(1, 2, 2)
    batch = collate([Example(empty, empty.byte(), empty > 0, 0, 0, f"case-{rank}", "", torch.ones(2))])

    def any_of(decision: bool, all: bool) -> bool:
        wanted = torch.tensor(int(decision))
        dist.all_reduce(wanted, op=dist.ReduceOp.MAX)
        return bool(wanted)

    strategy = SimpleNamespace(reduce_boolean_decision=any_of)
    trainer = SimpleNamespace(world_size=2, global_step=7, strategy=strategy)
    require_finite_loss(torch.tensor(1.0), batch, trainer)
    terms = over_devices({"loss": float(rank), f"rater_{rank}": 5.0})
    with pytest.raises(ProbsegError) as raised:
        require_finite_loss(torch.tensor(torch.nan if rank else 1.0), batch, trainer)
    dist.destroy_process_group()
    return raised.value.message, terms


def other(_: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.save(repr(told_by(1, folder)), f"{folder}/told")


def test_all_devices_of_a_step_fail_together_and_name_the_same_cases(tmp_path: Path):
    second = mp.spawn(other, (str(tmp_path),), nprocs=1, join=False)
    message, terms = told_by(0, str(tmp_path))
    second.join()
    assert message.startswith("the loss of step 7 is nan on case-1; ")
    assert terms == {"loss": 0.5, "rater_0": 5.0, "rater_1": 5.0}
    assert torch.load(tmp_path / "told") == repr((message, terms))
