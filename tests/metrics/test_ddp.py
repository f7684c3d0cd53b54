"""Two processes over gloo measure exactly what one does, bit by bit, repeats of the sampler included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.data import DistributedSampler

from probseg.batch import Example, collate
from probseg.distribution import SegmentationDistribution
from probseg.metrics import Evaluation, FullCalibration

CASES = 7  # over two processes: four each, one of them twice
ADMISSIBLE = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)


def example(k: int) -> Example:
    generator = torch.Generator().manual_seed(k)
    masks = torch.randint(0, 5, (3, 8, 9), generator=generator).to(torch.uint8)
    rated = torch.rand(3, 8, 9, generator=generator) < 0.8
    rated[k % 3] &= k % 2 == 0
    return Example(torch.zeros(1, 8, 9), masks, rated, k, k // 2, str(k), "", torch.tensor([1.0, 1.5]), (0, -1, 1))


def predicted(indices: list[int]) -> SegmentationDistribution:
    logits = [torch.randn(2, 2, 3, 8, 9, generator=torch.Generator().manual_seed(100 + k)) for k in indices]
    return SegmentationDistribution(torch.stack(logits, dim=2))


def calibrated(indices: list[int], size: int) -> list[tuple[str, str, str, object]]:
    """Every figure of calibration, by class and rater, too."""
    calibration = FullCalibration(("a", "b", "c"), ADMISSIBLE, ("anna", "ben"))
    for start in range(0, len(indices), size):
        part = indices[start : start + size]
        calibration.update(predicted(part), collate([example(k) for k in part]))
    for metric in calibration.metrics:
        if dist.is_initialized():
            metric.sync()
    return [(r.metric, r.class_name, r.rater, r.interval) for r in calibration.rows(samples=50)]


def evaluate(indices: list[int], size: int) -> Evaluation:
    evaluation = Evaluation(3, ADMISSIBLE, 4)
    for start in range(0, len(indices), size):
        part = indices[start : start + size]
        evaluation.update(predicted(part), collate([example(k) for k in part]))
    return evaluation


def figures(evaluation: Evaluation) -> dict[str, object]:
    computed = {name: value.item() for name, value in evaluation.compute().items()}
    for metric in evaluation.metrics:
        if dist.is_initialized():
            metric.sync()
    return {"computed": computed, "intervals": evaluation.intervals(100), "index": evaluation.index().tolist()}


def process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    sampler = DistributedSampler(range(CASES), num_replicas=2, rank=rank, shuffle=False)
    indices = list(sampler)
    assert len(indices) == 4
    size = 3 if rank else 2
    torch.save(repr((figures(evaluate(indices, size)), calibrated(indices, size))), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def second_process(_: int, folder: str) -> None:
    torch.set_num_threads(1)
    process(1, folder)


def test_two_processes_equal_one(tmp_path: Path):
    alone = figures(evaluate(list(range(CASES)), 7))
    assert alone["index"] == list(range(CASES))
    other = mp.spawn(second_process, (str(tmp_path),), nprocs=1, join=False)
    process(0, str(tmp_path))
    other.join()
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == repr((alone, calibrated(list(range(CASES)), 7)))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_batches_change_no_bit(size):
    assert repr(figures(evaluate(list(range(CASES)), size))) == repr(figures(evaluate(list(range(CASES)), 7)))
