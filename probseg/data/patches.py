"""Random patches of an example, a share of them placed on what some rater drew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from probseg.batch import Example
from probseg.errors import ProbsegError

__all__ = ["Voxels", "cut", "pad_to", "place_patch", "random_patch"]


class Voxels(ABC):
    """A numbered list of voxels, in the order of the array."""

    @abstractmethod
    def __len__(self) -> int:
        """How many."""

    @abstractmethod
    def __getitem__(self, number: int) -> tuple[int, ...]:
        """Where one lies."""


class _Marked(Voxels):
    """The voxels of an array of booleans that are true."""

    def __init__(self, example: Example) -> None:
        real = slice(0, example.num_raters)  # what is fused of the raters draws nothing of its own
        drawn = ((example.masks[real] > 0) & example.rated[real]).any(dim=0).numpy()
        self._flat = np.flatnonzero(drawn)
        self._space = drawn.shape

    def __len__(self) -> int:
        return len(self._flat)

    def __getitem__(self, number: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unravel_index(self._flat[number], self._space))


def place_patch(
    space: Sequence[int], crop: Sequence[int], foreground: float, drawn: Callable[[], Voxels]
) -> tuple[int, ...]:
    """Where a random patch begins; an image that is smaller than the patch is thought of as padded at its end.

    Args:
        space: of the whole image.
        crop: size along each axis of space.
        foreground: probability of placing the patch over a random voxel of ``drawn``, if there is any.
        drawn: called only when needed.

    Raises:
        ProbsegError: E_SCHEMA where ``crop`` has another number of axes than ``space``.
    """
    if len(crop) != len(space):
        raise ProbsegError("E_SCHEMA", f"data.crop must have {len(space)} numbers, but is {list(crop)}")
    room = [max(n, c) - c for n, c in zip(space, crop, strict=True)]
    starts = [int(torch.randint(0, r + 1, ())) for r in room]
    if float(torch.rand(())) < foreground:
        voxels = drawn()
        if len(voxels):
            centre = voxels[int(torch.randint(0, len(voxels), ()))]
            offsets = [int(torch.randint(0, c, ())) for c in crop]
            starts = [min(max(p - o, 0), r) for p, o, r in zip(centre, offsets, room, strict=True)]
    return tuple(starts)


def pad_to(example: Example, crop: Sequence[int]) -> Example:
    """Padded at the end of each axis to at least the size of ``crop``; the padding is not rated."""
    short = [max(0, c - n) for c, n in zip(crop, example.image.shape[1:], strict=True)]
    if not any(short):
        return example
    pads = [amount for missing in reversed(short) for amount in (0, missing)]
    pad = torch.nn.functional.pad
    return replace(
        example, image=pad(example.image, pads), masks=pad(example.masks, pads), rated=pad(example.rated, pads)
    )


def cut(example: Example, starts: Sequence[int], crop: Sequence[int]) -> Example:
    """The window of size ``crop`` that begins at ``starts``."""
    window = (slice(None), *(slice(s, s + c) for s, c in zip(starts, crop, strict=True)))
    return replace(example, image=example.image[window], masks=example.masks[window], rated=example.rated[window])


def random_patch(example: Example, crop: Sequence[int], foreground: float) -> Example:
    """A patch of size ``crop`` at a random place; smaller images are padded, and the padding is not rated.

    Args:
        example: the whole image.
        crop: size along each axis of space.
        foreground: probability of placing the patch on a random voxel that some rater drew, if any did.
    """
    starts = place_patch(example.image.shape[1:], crop, foreground, lambda: _Marked(example))
    return cut(pad_to(example, crop), starts, crop)
