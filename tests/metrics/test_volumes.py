"""Volumes of scans: slices add up to what the whole scan gives, and to what NumPy finds of the arrays."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.data import DistributedSampler

from probseg.analysis.overlap import iou
from probseg.analysis.volume_scores import HEADLINE_FIGURES, CaseVolumes, volume_figures
from probseg.analysis.volume_structures import VolumeStructures
from probseg.batch import Example, collate
from probseg.distribution import SegmentationDistribution
from probseg.labels import LabelClass, LabelGroup, LabelSet
from probseg.metrics import VolumeScores

LABELS = LabelSet(
    (LabelClass(0, "background"), LabelClass(1, "glass"), LabelClass(2, "solid")),
    (LabelGroup("opacity", ("glass", "solid"), value=3),),
)
SCANS, SLICES, DRAWS = 4, 3, 5
TOTAL = SCANS * SLICES


def logits(k: int) -> torch.Tensor:
    return torch.randn(DRAWS, 1, 3, 6, 7, generator=torch.Generator().manual_seed(k))


def example(k: int) -> Example:
    """Slice ``k % 3`` of scan ``k // 3``; odd scans have three raters, and the last of them missed a slice's corner."""
    scan, generator = k // SLICES, torch.Generator().manual_seed(50 + k)
    raters = 2 + scan % 2
    masks = torch.randint(0, 3, (raters, 6, 7), generator=generator).to(torch.uint8)
    rated = torch.ones(raters, 6, 7, dtype=torch.bool)
    rated[-1, 0, 0] = not (scan == 3 and k % SLICES == 1)
    return Example(
        torch.zeros(1, 6, 7), masks, rated, k, scan // 2, f"{scan}/{k}", "", torch.ones(2), scan=scan, voxel_ml=0.5
    )


def measured(indices: list[int], size: int) -> VolumeScores:
    metric = VolumeScores(LABELS)
    for start in range(0, len(indices), size):
        part = indices[start : start + size]
        batch = collate([example(k) for k in part])
        distribution = SegmentationDistribution(torch.stack([logits(k) for k in part], dim=2))
        names = (batch.index, batch.patient, batch.spacing_mm, batch.scan, batch.voxel_ml)
        metric.update(distribution, batch.masks, batch.rated, *names)
    return metric


def test_slices_add_up_to_what_numpy_finds_of_the_scans():
    structures, cases = VolumeStructures.of(LABELS), []
    for scan in range(SCANS):
        own = [example(k) for k in range(scan * SLICES, (scan + 1) * SLICES)]
        probs = torch.stack([logits(e.index) for e in own], dim=3).softmax(dim=2)[:, 0]  # (draws, C, slices, 6, 7)
        masks = torch.stack([e.masks for e in own], dim=1).numpy()
        rated = torch.stack([e.rated for e in own], dim=1).numpy()
        draws = structures.of_draws(probs.double().sum(dim=(2, 3, 4)).numpy()) * 0.5
        overlap = iou(structures.headline_overlap(probs.mean(0).argmax(0).numpy(), masks, rated))
        cases.append(CaseVolumes(draws, structures.of_raters(masks, rated, 0.5), 0.5, overlap))
    assert np.isnan(cases[3].observed[2]).all() and np.isfinite(cases[3].observed[:2]).all()
    oracle = volume_figures(cases, structures.names, [0, 0, 1, 1], samples=60)
    found = measured(list(range(TOTAL)), 5).by_structure(60)
    for one, other in zip(found, oracle, strict=True):
        assert (one.metric, one.structure, one.interval.n) == (other.metric, other.structure, other.interval.n)
        ends = [(i.value, i.low, i.high) for i in (one.interval, other.interval)]
        assert ends[0] == pytest.approx(ends[1], nan_ok=True, rel=1e-5)
    headline = measured(list(range(TOTAL)), 5).compute()
    assert tuple(headline) == HEADLINE_FIGURES
    assert {n: v.item() for n, v in headline.items()} == pytest.approx(
        {f.metric: f.interval.value for f in found if not f.structure}, nan_ok=True
    )


def test_only_some_cases_and_each_case():
    metric = measured(list(range(TOTAL)), 4)
    index, patient, _ = metric.cases()
    assert (index.tolist(), patient.tolist()) == ([0, 3, 6, 9], [0, 0, 1, 1])
    apart = metric.intervals(20, only=np.arange(3, 9))
    assert apart["volume_error"].n == 2
    assert apart["volume_error"].value == pytest.approx(metric.per_case()["volume_error"][1:3].mean())


def test_unnamed_slices_are_scans_of_their_own_and_have_no_millilitres():
    metric, batch = VolumeScores(LABELS), collate([example(0), example(1)])
    for _ in range(2):
        distribution = SegmentationDistribution(torch.stack([logits(0), logits(1)], dim=2))
        metric.update(distribution, batch.masks, batch.rated)
    assert len(metric.cases()[0]) == 4
    assert metric.intervals(20)["volume_error"].n == 4
    assert math.isnan(metric.compute()["volume_crps"].item())
    table = metric.statistics(distribution, batch.masks, batch.rated, None)
    np.testing.assert_array_equal(table, metric.cases()[2][-2:][::-1])  # later ones have lower numbers


def test_scans_may_be_pooled():
    metric = measured(list(range(TOTAL)), TOTAL)
    each = metric.per_case()["volume_error"]
    metric.pool(lambda number: number // 2)
    assert metric.per_case()["volume_error"] == pytest.approx([each[:2].mean(), each[2:].mean()])
    assert len(metric.intervals(20)) == len(HEADLINE_FIGURES)


def test_nothing_seen_is_undefined():
    metric = VolumeScores(LABELS)
    metric._update_count = 1  # torchmetrics warns of a figure asked for before any update
    assert all(math.isnan(v.item()) for v in metric.compute().values())
    assert all(i.n == 0 for i in metric.intervals(10).values())


@pytest.mark.parametrize("size", [1, 5])
def test_the_order_and_size_of_batches_change_no_bit(size):
    whole = repr(measured(list(range(TOTAL)), TOTAL).by_structure(20))
    assert repr(measured([7, 3, 0, 11, 10, 9, 8, 6, 5, 4, 2, 1, 0], size).by_structure(20)) == whole


def process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    # slices of a scan go to both processes, and eleven of them make one repeat
    indices = list(DistributedSampler(range(TOTAL - 1), num_replicas=2, rank=rank, shuffle=False))
    metric = measured(indices, 3 if rank else 2)
    computed = repr(metric.compute())
    metric.sync()
    torch.save((computed, repr(metric.by_structure(20))), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def second_process(_: int, folder: str) -> None:
    torch.set_num_threads(1)
    process(1, folder)


def test_two_processes_equal_one(tmp_path: Path):
    alone = measured(list(range(TOTAL - 1)), 4)
    other = mp.spawn(second_process, (str(tmp_path),), nprocs=1, join=False)
    process(0, str(tmp_path))
    other.join()
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == (repr(alone.compute()), repr(alone.by_structure(20)))
