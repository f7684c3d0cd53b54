"""The order in which training sees its examples: one endless list, known in advance from the seed alone."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from probseg.data.keyed import key

__all__ = ["Order", "Shuffled", "Weighted"]

_CHUNK = 4096  # draws made at once


class Order(ABC):
    """The example at each position from 0 on, without end.

    A position is enough to go on from, after an interruption or in another process, since it says which example comes
    next and, with the seed, how that example is changed.
    """

    def __init__(self, seed: int, chunk: int) -> None:
        self.seed = seed
        self._chunk = chunk
        self._made: tuple[int, Tensor] | None = None

    def __getitem__(self, position: int) -> int:
        """Index of the example at ``position``."""
        number, place = divmod(position, self._chunk)
        if self._made is None or self._made[0] != number:
            self._made = number, self._make(torch.Generator().manual_seed(key(self.seed, number)))
        return int(self._made[1][place])

    @abstractmethod
    def _make(self, generator: torch.Generator) -> Tensor:
        """One chunk of indices."""


class Shuffled(Order):
    """Every example once, then every example once in another order, and so on."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(seed, count)

    def _make(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(self._chunk, generator=generator)


class Weighted(Order):
    """Drawn with replacement, each example in proportion to its weight ``(examples,)``."""

    def __init__(self, weights: Tensor, seed: int) -> None:
        super().__init__(seed, _CHUNK)
        self.weights = weights

    def _make(self, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self.weights, self._chunk, replacement=True, generator=generator)
