"""How the learning rate falls over a training, chosen by class path in YAML, and how much of a training is over."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Timer

from probseg.errors import ProbsegError

__all__ = ["Budget", "Constant", "Cosine", "MultiStep", "Polynomial", "Schedule", "share_of_training"]


class Schedule(ABC):
    """What becomes of the optimiser's learning rate after warm-up."""

    @abstractmethod
    def __call__(self, share: float) -> float:
        """The factor of the learning rate when ``share`` (0 to 1) of the training after warm-up is over."""


class Constant(Schedule):
    """The learning rate stays."""

    def __call__(self, share: float) -> float:
        """1."""
        return 1.0


class Cosine(Schedule):
    """The learning rate falls along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983, one cycle).

    Args:
        end: factor at the end of the training.
    """

    def __init__(self, end: float = 0.0) -> None:
        if not 0 <= end <= 1:
            raise ProbsegError("E_SCHEMA", f"end of Cosine must lie between 0 and 1, but is {end}")
        self.end = end

    def __call__(self, share: float) -> float:
        """``end + (1 - end) (1 + cos(pi share)) / 2``."""
        return self.end + (1 - self.end) * 0.5 * (1 + math.cos(math.pi * share))


class MultiStep(Schedule):
    """The learning rate falls by a factor at each of several moments, and stays in between.

    Args:
        at: these moments as shares of the training after warm-up, rising, within 0 to 1.
        factor: above 0, at most 1.
    """

    def __init__(self, at: Sequence[float] = (0.5, 0.75), factor: float = 0.1) -> None:
        self.at = tuple(at)
        rising = list(self.at) == sorted(set(self.at)) and all(0 <= share <= 1 for share in self.at)
        if not rising or not 0 < factor <= 1:
            raise ProbsegError(
                "E_SCHEMA",
                "at of MultiStep must be rising shares from 0 to 1 and factor above 0 and at most 1, but are "
                f"{list(self.at)} and {factor}",
            )
        self.factor = factor

    def __call__(self, share: float) -> float:
        """``factor`` to the number of moments that are over; a moment itself is."""
        return self.factor ** sum(share >= moment for moment in self.at)


class Polynomial(Schedule):
    """The learning rate falls as a power of what is left, as in DeepLab (Chen et al. 2018) and nnU-Net (0.9).

    Args:
        power: 1 falls along a line.
    """

    def __init__(self, power: float = 0.9) -> None:
        if not power > 0:
            raise ProbsegError("E_SCHEMA", f"power of Polynomial must be above 0, but is {power}")
        self.power = power

    def __call__(self, share: float) -> float:
        """``(1 - share) ^ power``."""
        return float((1 - share) ** self.power)


@runtime_checkable
class Budget(Protocol):
    """A callback that ends the training when its share is spent."""

    @property
    def share(self) -> float:
        """Share of the training that is over, from 0."""


def share_of_training(trainer: Trainer) -> float:
    """How much of the training is over, 0 to 1: by steps, by time or by a budget, whichever is further."""
    steps = trainer.estimated_stepping_batches
    done = trainer.global_step / steps if steps and math.isfinite(steps) else 0.0
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by Trainer's connector
        if isinstance(callback, Timer) and callback._duration:
            done = max(done, callback.time_elapsed() / callback._duration)
        elif isinstance(callback, Budget):
            done = max(done, callback.share)
    if trainer.world_size > 1:  # the clocks of the devices differ, and their learning rates must not
        done = trainer.strategy.broadcast(done)
    return min(done, 1.0)
