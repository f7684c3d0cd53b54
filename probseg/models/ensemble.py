"""Several models of one kind, trained apart: each is a draw of the weights."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.models.checkpoints import load_weights
from probseg.records import DatasetInfo

__all__ = ["Ensemble"]


class Ensemble(SegmentationModule):
    """``size`` models with their own initial weights (Lakshminarayanan et al. 2017, arXiv:1612.01474).

    ``probseg fit`` trains the members one after the other, each with a seed of its own, as ordinary runs below
    ``RUN/members``, and composes their best weights. In Python, `Trainer.fit` trains all of them together, which
    shares the order of the data between them.

    Args:
        member: the model to repeat; of any family.
        size: how many members.
        draws: as in every family; split over the members where these have readings of their own.
    """

    def __init__(self, member: SegmentationModule, size: int = 5, draws: int = 16) -> None:
        super().__init__(nn.Identity(), member.target, member.optimizer, member.warmup, draws, None, member.schedule)
        if size < 2:
            raise ProbsegError("E_SCHEMA", f"size of an Ensemble must be at least 2, but is {size}")
        self.members = nn.ModuleList(copy.deepcopy(member) for _ in range(size))
        for copied in self.members[1:]:
            for layer in reversed(list(copied.modules())):  # a network's own start comes after its layers' start
                reset = getattr(layer, "reset_parameters", None)
                if callable(reset):
                    reset()

    @property
    def _families(self) -> list[SegmentationModule]:
        return [m for m in self.members if isinstance(m, SegmentationModule)]

    def bind(self, info: DatasetInfo) -> None:
        """Tell every member what its data are."""
        super().bind(info)
        for member in self._families:
            member.bind(info)

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """Members along the model axis, each with its share of the draws."""
        size = len(self.members)
        return SegmentationDistribution.cat([m(image, draws.share(k, size)) for k, m in enumerate(self._families)])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Sum of the members' losses; each member learns as if it were alone."""
        terms: dict[str, Tensor] = {}
        for k, member in enumerate(self._families):
            terms |= {f"member_{k}/{name}": value for name, value in member.loss(batch).items()}
        return {
            **terms,
            "loss": sum((v for n, v in terms.items() if n.endswith("/loss")), start=batch.image.new_zeros(())),
        }

    def compose(self, states: list[dict[str, Any]]) -> None:
        """Take the weights of members that were trained apart, in order.

        Raises:
            ProbsegError: E_CLASS_MISMATCH when their number or shapes differ from this ensemble's.
        """
        if len(states) != len(self.members):
            raise ProbsegError("E_CLASS_MISMATCH", f"{len(states)} members for an ensemble of {len(self.members)}")
        for k, (member, state) in enumerate(zip(self.members, states, strict=True)):
            load_weights(member, state, f"member {k}")
