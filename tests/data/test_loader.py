"""Training batches: the same whoever loads them, shared by devices, and going on where they were."""

from __future__ import annotations

import itertools
import os
import signal
import time

import pytest
import torch

from probseg.batch import Batch
from probseg.data.datamodule import MultiRaterData
from probseg.data.loader import TrainingLoader
from probseg.data.order import Shuffled
from probseg.data.transforms import FlipAndTurn, Intensity, Transform
from probseg.errors import ProbsegError
from probseg.training.faults import fault_of

forks = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def data() -> MultiRaterData:
    return MultiRaterData("lidc-sample", crop=[16, 16], transforms=[FlipAndTurn(), Intensity()], seed=4)


def loader(data: MultiRaterData, size: int = 4, batches: int = 5, **kwargs) -> TrainingLoader:
    examples = data.examples("train")
    return TrainingLoader(examples, Shuffled(len(examples), 4), size, batches, **kwargs)


def assert_equal(a: list[Batch], b: list[Batch]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.case_ids == y.case_ids
        assert torch.equal(x.image, y.image)
        assert torch.equal(x.masks, y.masks)
        assert torch.equal(x.rated, y.rated)


@forks
def test_processes_change_no_batch_across_epochs(data):
    alone, two = loader(data), loader(data, num_workers=2, timeout_s=60)
    assert_equal([*alone, *alone], [*two, *two])


def test_an_epoch_goes_on_where_the_one_before_ended(data):
    whole = list(loader(data, batches=15))
    short = loader(data, batches=5)
    assert_equal([b for _ in range(3) for b in short], whole)
    assert len(short) == 5
    indices = torch.cat([b.index for b in whole])
    assert len(set(indices.tolist())) == len(indices), "60 of the sample's examples, none of them twice"


@pytest.mark.parametrize("drawn", [0, 3, 5, 8])
def test_it_goes_on_after_an_interruption(data, drawn):
    whole = list(loader(data, batches=15))
    first, second = loader(data), loader(data)
    for _ in itertools.islice(itertools.chain.from_iterable(iter(first) for _ in range(9)), drawn):
        pass
    second.load_state_dict(first.state_dict())
    assert first.state_dict() == {"drawn": drawn}
    assert_equal(list(second), whole[drawn : drawn + 5])


def test_devices_share_the_batch_of_one(data):
    whole = list(loader(data, size=6))
    halves = [list(loader(data, size=3, device=d, devices=2)) for d in range(2)]
    for k, batch in enumerate(whole):
        assert torch.equal(torch.cat([half[k].image for half in halves]), batch.image)
        assert halves[0][k].case_ids + halves[1][k].case_ids == batch.case_ids


def test_what_lies_between_two_batches_is_asked_before_each(data):
    batches = loader(data, batches=3)
    seen: list[int] = []
    batches.between = lambda: seen.append(batches.state_dict()["drawn"])
    assert len(list(batches)) == 3
    assert seen == [0, 1, 2]


class Refuses(Transform):
    """A fault in the data that only a loader process meets."""

    def __call__(self, example):
        raise ProbsegError("E_SHAPE_MISMATCH", "this example is not to my taste")


class Dies(Transform):
    def __call__(self, example):
        os.kill(os.getpid(), signal.SIGKILL)
        return example


class Hangs(Transform):
    def __call__(self, example):
        time.sleep(60)
        return example


@forks
@pytest.mark.parametrize(
    ("transform", "timeout_s", "code", "words"),
    [
        (Refuses(), 100, "E_SHAPE_MISMATCH", "this example is not to my taste"),
        (Dies(), 100, "E_LOADER_DIED", "the loader process"),
        (Hangs(), 0.5, "E_LOADER_HANGS", "gave no batch within 0.5 s; look at the disk"),
    ],
)
def test_a_loader_process_that_fails_is_one_line(transform, timeout_s, code, words):
    broken = MultiRaterData("lidc-sample", 2, transforms=[transform], num_workers=1, worker_timeout_s=timeout_s, seed=0)
    batches = broken.train_dataloader()
    with pytest.raises((RuntimeError, ProbsegError)) as raised:
        next(iter(batches))
    told = raised.value if isinstance(raised.value, ProbsegError) else fault_of(raised.value)
    assert told is not None
    assert told.code == code
    assert words in told.message
    batches._iterator._shutdown_workers()
