"""A distribution against raters: GED and HM-IoU beside a loop over pairs, calibration beside torchmetrics."""

from __future__ import annotations

import importlib
import itertools
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from timing import Comparison, Timed, compare, main

from probseg import analysis
from probseg.analysis.calibration import calibration_counts, expected_calibration_error

CLASSES = 5
TRIALS = 50_000_000
SLABS = 20
BINS = 15


def lesions(maps: int, seed: int) -> NDArray[np.uint8]:
    """``(maps, 256, 256)``: four findings, each of a class of its own, their place, size and edge other in each map."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    out = np.zeros((maps, 256, 256), np.uint8)
    for k, (c, centre) in itertools.product(range(maps), enumerate(itertools.product((75, 180), (75, 180)), start=1)):
        cy, cx = centre + rng.normal(0, 3, 2)
        angle = np.arctan2(y - cy, x - cx)
        radius = 35 + rng.normal(0, 4) + 3 * np.sin(rng.integers(3, 9) * angle + rng.uniform(0, 6.3))
        out[k][np.hypot(y - cy, x - cx) < radius] = c
    return out


def loop(readings: NDArray, masks: NDArray, count: Callable[[NDArray], int]) -> tuple[float, float]:
    """GED (V) and HM-IoU by their definition, a pair and a class at a time; each distance is computed once for both."""

    def iou(a: NDArray, b: NDArray) -> float:
        total = 0.0
        for c in range(1, CLASSES):
            in_a, in_b = a == c, b == c
            union = count(in_a | in_b)
            total += count(in_a & in_b) / union if union else 1.0
        return total / (CLASSES - 1)

    sy, ss, yy = (
        np.array([[iou(a, b) for b in second] for a in first])
        for first, second in ((readings, masks), (readings, readings), (masks, masks))
    )
    n, m = sy.shape
    size = np.lcm(n, m)
    square = sy.repeat(size // n, axis=0).repeat(size // m, axis=1)
    matched = square[linear_sum_assignment(square, maximize=True)].mean()
    return float(2 * (1 - sy).mean() - (1 - ss).mean() - (1 - yy).mean()), float(matched)


def ours(readings: NDArray, masks: NDArray) -> tuple[float, float]:
    """The same two from the public functions, each of which counts anew."""
    return (
        analysis.generalized_energy_distance(readings, masks, CLASSES),
        analysis.hungarian_matched_iou(readings, masks, CLASSES),
    )


def at_work(function: Callable[..., Any], *arguments: Any) -> Callable[[], Timed]:
    """A call timed by the processor: what else runs on the machine counts less."""

    def run() -> Timed:
        start = time.process_time()
        result = function(*arguments)
        return Timed(time.process_time() - start, result)

    return run


def ged_hm() -> Iterator[Comparison]:
    """100 readings against four raters, 256 x 256, five classes; then maps of nothing but noise, which is the worst."""
    noise = np.random.default_rng(2).integers(0, CLASSES, (104, 256, 256)).astype(np.uint8)

    def equal(a: Timed, b: Timed) -> bool:
        return bool(np.allclose(a.result, b.result, rtol=0.0, atol=1e-6))

    for job, readings, masks in (("ged_hm", lesions(100, 0), lesions(4, 1)), ("ged_hm_noise", noise[4:], noise[:4])):
        peer = at_work(loop, readings, masks, np.count_nonzero)
        name = "NumPy loop over pairs by np.count_nonzero"
        found = compare(job, at_work(ours, readings, masks), peer, name, equal, 5)
        by_sum = at_work(loop, readings[:10], masks, np.sum)().seconds * _pairs(100) / _pairs(10)
        yield replace(found, further={"ratio_to_a_loop_by_sum": by_sum / statistics.median(found.ours_s)})


def _pairs(readings: int) -> int:
    return readings * 4 + readings**2 + 16


def slabs(raters: int) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """``(2, voxels)`` probabilities and ``(raters, voxels)`` labels, 50 million in all, in parts, most of them sure.

    No probability is 1, for which the peer has a bin of its own.
    """
    rng = np.random.default_rng(3)
    found = []
    for _ in range(SLABS):
        n = TRIALS // SLABS // raters
        p = (
            np.where(rng.random(n) < 0.8, rng.random(n) ** 6 / 10, rng.random(n))
            .clip(1e-6, 1 - 1e-6)
            .astype(np.float32)
        )
        masks = np.stack([rng.random(n) < p**1.2 for _ in range(raters)]).astype(np.uint8)
        found.append((np.stack([1 - p, p]), masks))
    return found


def exact(parts: Sequence[tuple[NDArray, NDArray]]) -> float:
    """ECE by whole numbers and float64, bin by bin."""
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    sums = np.zeros((BINS, 3))
    for p, masks in parts:
        confidence, top = p.max(axis=0).astype(np.float64), p.argmax(axis=0)
        which = np.digitize(confidence, edges)
        for k in range(BINS):
            inside = which == k
            hits = (masks[:, inside] == top[inside]).sum()
            sums[k] += len(masks) * confidence[inside].sum(), hits, len(masks) * inside.sum()
    return float(np.abs(sums[:, 0] - sums[:, 1]).sum() / sums[:, 2].sum())


def streaming(parts: Sequence[tuple[NDArray, NDArray]]) -> float:
    """Ours, part by part."""
    return float(expected_calibration_error(sum(calibration_counts(*part, bins=BINS) for part in parts)))


def calibration() -> Iterator[Comparison]:
    """ECE of the top class over 50 million rated voxels in twenty parts: of four raters, and of one."""
    import torch
    from torchmetrics.classification import MulticlassCalibrationError

    # its formula alone, which the metric feeds with float32 whatever it is given
    formula = importlib.import_module("torchmetrics.functional.classification.calibration_error")._ce_compute
    torch.set_num_threads(1)

    def torchmetrics(tensors: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
        metric = MulticlassCalibrationError(num_classes=2, n_bins=BINS, norm="l1", validate_args=False)
        for p, masks in tensors:
            for mask in masks:  # it knows no raters: each is a target of its own
                metric.update(p, mask[None])
        return float(metric.compute())

    def in_float64(p: NDArray, masks: NDArray) -> float:
        hits = torch.from_numpy(masks == p.argmax(axis=0)).double().flatten()
        return float(formula(torch.from_numpy(p.max(axis=0)).double().repeat(len(masks)), hits, BINS))

    for job, raters in (("calibration", 4), ("calibration_one_rater", 1)):
        parts = slabs(raters)
        tensors = [(torch.from_numpy(p)[None], torch.from_numpy(masks)) for p, masks in parts]
        truth = exact(parts)
        start = _peak_mb()
        mine = streaming(parts)
        between = _peak_mb()
        theirs = torchmetrics(tensors)
        further = {
            "ours_off": abs(mine - truth),
            "peer_off": abs(theirs - truth),
            "peer_off_of_one_part": abs(torchmetrics(tensors[:1]) - exact(parts[:1])),
            "peer_off_of_one_part_in_float64": abs(in_float64(*parts[0]) - exact(parts[:1])),
            "ours_memory_mb": between - start,
            "peer_memory_mb": _peak_mb() - between,
        }
        # In float32 the peer's sums of millions are off; what is held equal is ours and the slow exact figure.
        found = compare(
            job,
            at_work(streaming, parts),
            at_work(torchmetrics, tensors),
            "torchmetrics MulticlassCalibrationError",
            lambda a, _, truth=truth: abs(a.result - truth) <= 1e-6,
            5,
        )
        yield replace(found, further=further)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main((ged_hm, calibration), __doc__ or ""))
