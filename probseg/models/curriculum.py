"""What part of its images a training sees early on, chosen by class path in YAML."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch

from probseg.batch import Batch
from probseg.errors import ProbsegError

__all__ = ["CentreFirst", "Curriculum"]


class Curriculum(ABC):
    """Changes training batches according to how much of the training is over."""

    @abstractmethod
    def __call__(self, batch: Batch, share: float) -> Batch:
        """The batch to train on when ``share`` (0 to 1) of the training is over; may draw torch's random numbers."""


class CentreFirst(Curriculum):
    """Windows about the centre of each image first, whole images at the end.

    Where images are cut out round a lesion, the centre has most of what raters differ in, at a fraction of the cost;
    but a network that has seen nothing else finds lesions in the margins, so that it must end on whole images.
    (Progressive sizes: Tan and Le 2021, arXiv:2104.00298.)

    Args:
        size: of the window along each axis of space; an axis that is shorter is taken whole.
        until: share of the training after which whole images come.
        jitter: how far the window is moved from the centre along each axis, at most; one draw a batch.
    """

    def __init__(self, size: Sequence[int], until: float = 0.5, jitter: int = 0) -> None:
        if not size or min(size) < 1 or not 0 <= until <= 1 or jitter < 0:
            raise ProbsegError(
                "E_SCHEMA",
                "CentreFirst needs sizes of at least 1, until within 0 to 1 and jitter of at least 0, but got "
                f"{list(size)}, {until} and {jitter}",
            )
        self.size = tuple(size)
        self.until = until
        self.jitter = jitter

    def __call__(self, batch: Batch, share: float) -> Batch:
        """The same window of every image, mask and rated of the batch."""
        if share >= self.until:
            return batch
        space = batch.image.shape[2:]
        if len(space) != len(self.size):
            raise ProbsegError(
                "E_SCHEMA", f"size of CentreFirst must have {len(space)} numbers, but is {list(self.size)}"
            )
        window: list[slice] = [slice(None), slice(None)]
        for whole, part in zip(space, self.size, strict=True):
            room = max(whole - part, 0)
            start = room // 2 + int(torch.randint(-self.jitter, self.jitter + 1, ()))
            start = min(max(start, 0), room)
            window.append(slice(start, start + part))
        where = tuple(window)
        spatial = ("image", "masks", "rated", "virtual_masks", "virtual_rated")
        return replace(batch, **{name: getattr(batch, name)[where] for name in spatial})
