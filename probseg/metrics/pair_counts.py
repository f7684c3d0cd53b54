"""Pairs of readings and raters counted where they lie: in packed bits on a processor, as matrix products elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor

from probseg.analysis import pair_counts as packed
from probseg.analysis.overlap import Counts
from probseg.analysis.pair_counts import PairCounts

__all__ = ["count_by_products", "count_pairs"]

# A block of maps as floats stays within some hundred MB, and float32 counts whole numbers up to 2^24.
_BLOCK = 1 << 18


def count_pairs(readings: Tensor, masks: Tensor, num_classes: int, rated: Tensor) -> PairCounts:
    """The twin of `probseg.analysis.pair_counts.pair_counts`, and equal to it.

    Args:
        readings: ``(N, voxels)`` labels.
        masks: ``(M, voxels)`` labels; those of ``num_classes`` or more are not rated.
        num_classes: C.
        rated: booleans of the shape of ``masks``.
    """
    if readings.device.type == "cpu":
        return packed.pair_counts(readings.numpy(), masks.numpy(), num_classes, rated.numpy())
    return count_by_products(readings, masks, num_classes, rated)


def count_by_products(readings: Tensor, masks: Tensor, num_classes: int, rated: Tensor) -> PairCounts:
    """The same as products of matrices of 0 and 1, which a GPU does best; exact in float32 and TF32, block by block."""
    known = rated & (masks < num_classes)
    present = known.any(dim=1)
    masks, known = masks[present], known[present]
    n = len(readings) + len(masks)
    totals = torch.zeros(3, n, n, num_classes - 1, dtype=torch.float64)
    with torch.autocast(readings.device.type, enabled=False):  # validation runs in bf16, which cannot count beyond 256
        for start in range(0, masks.shape[1], _BLOCK):
            part = slice(start, start + _BLOCK)
            drawn = torch.where(known[:, part], masks[:, part], num_classes)
            labels = torch.cat([readings[:, part].to(drawn.dtype), drawn])
            labels = labels[:, (labels > 0).any(dim=0)]  # the rest is background to everyone
            valid = (labels < num_classes).float()
            for c in range(1, num_classes):
                member = (labels == c).float()
                first = member @ valid.T
                totals[:, :, :, c - 1] += torch.stack([member @ member.T, first, first.T]).double().cpu()
    return PairCounts(Counts(*totals.numpy()), len(readings))
