"""A family made of another: what is told to it goes on to the model inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.records import DatasetInfo

__all__ = ["Wrapper"]


class Wrapper(SegmentationModule):
    """Trains a model of any family as that family does, and asks it several times for a distribution.

    Target, optimiser, warm-up, schedule, curriculum and ``warm_start`` are the member's.

    Args:
        member: the model inside; of any family.
        models: how many times a member with readings of its own is asked, each time for an equal share of the draws.
            A member with one answer is asked as often as there are draws.
        draws: as in every family.
    """

    def __init__(self, member: SegmentationModule, models: int = 4, draws: int = 16) -> None:
        super().__init__(
            nn.Identity(),
            target=member.target,
            optimizer=member.optimizer,
            warmup=member.warmup,
            draws=draws,
            schedule=member.schedule,
            curriculum=member.curriculum,
        )
        if models < 1:
            raise ProbsegError("E_SCHEMA", f"models of {type(self).__name__} must be at least 1, but is {models}")
        self.warm_start, member.warm_start = member.warm_start, None  # weights are taken once
        self.member = member
        self.models = models

    def bind(self, info: DatasetInfo) -> None:
        """Tell the member, too, what its data are."""
        super().bind(info)
        self.member.bind(info)

    def setup(self, stage: str) -> None:
        """As in every family, and as in the member's."""
        super().setup(stage)
        self.member.setup(stage)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As in every family, and as in the member's."""
        super().on_load_checkpoint(checkpoint)
        self.member.on_load_checkpoint(checkpoint)

    def start_from(self, checkpoint: Path) -> None:
        """Weights of a run of the member's family, for the member."""
        self.member.start_from(checkpoint)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The member's."""
        return self.member.loss(batch)

    def _repeated(
        self, draws: Draws, predict: Callable[[int, Draws], SegmentationDistribution]
    ) -> SegmentationDistribution:
        """Ask ``predict(k, draws of the member)`` for k = 0, 1, ... and join the answers along the model axis."""
        count = min(self.models, draws.count)
        answers = [predict(0, draws.share(0, count))]
        if answers[0].num_draws == 1:
            count = draws.count  # whatever it is asked, it has one answer
        answers += [predict(k, draws.share(k, count)) for k in range(1, count)]
        return SegmentationDistribution.cat(answers)
