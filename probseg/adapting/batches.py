"""Images of several shapes as batches of one shape each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

__all__ = ["batches_of", "random_batches"]


def batches_of(images: Sequence[Tensor], size: int) -> Iterator[Tensor]:
    """``(batch, channels, *space)`` of at most ``size`` images, each image once."""
    shapes: dict[tuple[int, ...], list[Tensor]] = {}
    for image in images:
        shapes.setdefault(tuple(image.shape), []).append(image)
    for alike in shapes.values():
        for start in range(0, len(alike), size):
            yield torch.stack(alike[start : start + size])


def random_batches(images: Sequence[Tensor], size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Such batches without end: all of them in one order after the other, each image anywhere."""
    while True:
        order = torch.randperm(len(images), generator=generator).tolist()
        yield from batches_of([images[k] for k in order], size)
