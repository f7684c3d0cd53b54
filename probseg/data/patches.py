"""Random patches of an example, a share of them placed on what some rater drew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from probseg.batch import Example
from probseg.errors import ProbsegError

__all__ = ["Sought", "Voxels", "cut", "drawn_voxels", "pad_to", "place_patch", "random_patch"]

Sought = int | tuple[int, ...] | None
"""A label, any of several, or any but background."""


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

    def __init__(self, marked: NDArray[np.bool_]) -> None:
        self._flat = np.flatnonzero(marked)
        self._space = marked.shape

    def __len__(self) -> int:
        return len(self._flat)

    def __getitem__(self, number: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unravel_index(self._flat[number], self._space))


def drawn_voxels(masks: NDArray[np.uint8], rated: NDArray[np.bool_], label: Sought) -> NDArray[np.bool_]:
    """``space``: where any rater drew what is sought, in what this rater had rated."""
    drawn = masks > 0 if label is None else np.isin(masks, label)
    return np.logical_or.reduce(drawn & rated, axis=0)


def place_patch(
    space: Sequence[int], crop: Sequence[int], foreground: float, drawn: Callable[[], Sequence[Voxels]]
) -> tuple[int, ...]:
    """Where a random patch begins; an image that is smaller than the patch is thought of as padded at its end.

    Args:
        space: of the whole image.
        crop: size along each axis of space.
        foreground: probability of placing the patch over a random voxel of ``drawn``, if there is any.
        drawn: called only when needed; of several lists one that is not empty is taken at random, each as often.

    Raises:
        ProbsegError: E_SCHEMA where ``crop`` has another number of axes than ``space``.
    """
    if len(crop) != len(space):
        raise ProbsegError("E_SCHEMA", f"data.crop must have {len(space)} numbers, but is {list(crop)}")
    room = [max(n, c) - c for n, c in zip(space, crop, strict=True)]
    starts = [int(torch.randint(0, r + 1, ())) for r in room]
    if float(torch.rand(())) < foreground:
        lists = [voxels for voxels in drawn() if len(voxels)]
        if lists:
            voxels = lists[int(torch.randint(0, len(lists), ()))] if len(lists) > 1 else lists[0]
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


def random_patch(
    example: Example, crop: Sequence[int], foreground: float, labels: Sequence[Sought] = (None,)
) -> Example:
    """A patch of size ``crop`` at a random place; smaller images are padded, and the padding is not rated.

    Args:
        example: the whole image.
        crop: size along each axis of space.
        foreground: probability of placing the patch on a random voxel that some rater drew, if any did.
        labels: what to look for, each of those drawn as often as the others.
    """

    def drawn() -> list[Voxels]:
        real = slice(0, example.num_raters)  # what is fused of the raters draws nothing of its own
        masks, rated = example.masks[real].numpy(), example.rated[real].numpy()
        return [_Marked(drawn_voxels(masks, rated, label)) for label in labels]

    starts = place_patch(example.image.shape[1:], crop, foreground, drawn)
    return cut(pad_to(example, crop), starts, crop)
