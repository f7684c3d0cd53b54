"""Half precision where the device has it and the labels stay what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from probseg.distribution import SegmentationDistribution

__all__ = ["PRECISIONS", "agreement", "half_precision", "safe_precision"]

PRECISIONS = ("auto", "32", "half")
_LEAST_AGREEMENT = 0.995  # of foreground voxels


def half_precision(device: torch.device) -> torch.dtype | None:
    """The half precision in which the device computes faster than in 32 bits; None where it has none.

    Processors have bfloat16 instructions (AVX512-BF16 or AMX) or are slower in it. A CUDA device without bfloat16
    takes float16.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return torch.bfloat16
    return None


def agreement(full: SegmentationDistribution, half: SegmentationDistribution) -> tuple[int, int]:
    """Voxels of all draws that are foreground in either, and of these how many have the same class in both."""
    a, b = full.readings(), half.readings()
    foreground = (a > 0) | (b > 0)
    return int(foreground.sum()), int((foreground & (a == b)).sum())


def safe_precision(
    device: torch.device, predict: Callable[[Tensor], SegmentationDistribution], parts: Iterable[Tensor]
) -> torch.dtype:
    """Half precision if at least 99.5 % of foreground keeps its class in it, else float32.

    Args:
        device: on which ``predict`` works.
        predict: images to their distribution; is asked under autocast, and without.
        parts: some images of a scan; they decide for all of it.
    """
    half = half_precision(device)
    if half is None:
        return torch.float32
    foreground = same = 0
    for part in parts:
        with torch.autocast(device.type, half, enabled=False):
            full = predict(part)
        with torch.autocast(device.type, half):
            found = agreement(full, predict(part))
        foreground, same = foreground + found[0], same + found[1]
    return half if same >= _LEAST_AGREEMENT * foreground else torch.float32
