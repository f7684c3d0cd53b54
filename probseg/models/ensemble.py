"""Several models of one kind, trained apart: each is a draw of the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from probseg.batch import Batch
from probseg.distribution import Draws, SegmentationDistribution
from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.models.checkpoints import load_weights
from probseg.records import DatasetInfo

__all__ = ["Ensemble", "asked_together", "require_alike"]


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
        super().__init__(
            nn.Identity(),
            member.target,
            member.optimizer,
            member.warmup,
            draws,
            schedule=member.schedule,
            curriculum=member.curriculum,
        )
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
        """Tell every member what its data are.

        Raises:
            ProbsegError: E_CLASS_MISMATCH when a member was trained with other classes.
        """
        super().bind(info)
        for k, member in enumerate(self._families):
            if member.info is not None and member.info.labels.names != info.labels.names:
                raise ProbsegError(
                    "E_CLASS_MISMATCH",
                    f"member {k} of the ensemble was trained on classes {', '.join(member.info.labels.names)}, but the "
                    f"data have {', '.join(info.labels.names)}; all members must know the same classes",
                )
            member.bind(info)

    def setup(self, stage: str) -> None:
        """As in every family, and as in each member's; they are trained by the ensemble's trainer."""
        super().setup(stage)
        for member in self._families:
            member.trainer = self.trainer
            member.setup(stage)

    def forward(self, image: Tensor, draws: Draws) -> SegmentationDistribution:
        """Members along the model axis, each with its share of the draws."""
        return asked_together(self._families, image, draws)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Sum of the members' losses; each member learns as if it were alone."""
        terms: dict[str, Tensor] = {}
        for k, member in enumerate(self._families):
            terms |= {f"member_{k}/{name}": value for name, value in member.loss(batch).items()}
        return {
            **terms,
            "loss": sum((v for n, v in terms.items() if n.endswith("/loss")), start=batch.image.new_zeros(())),
        }

    def compose(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take the weights of members that were trained apart, in order.

        Raises:
            ProbsegError: E_CLASS_MISMATCH when their number differs from this ensemble's, or one of them does.
        """
        if len(states) != len(self.members):
            raise ProbsegError("E_CLASS_MISMATCH", f"{len(states)} members for an ensemble of {len(self.members)}")
        for k, (member, state) in enumerate(zip(self.members, states, strict=True)):
            require_alike(member.state_dict(), state, f"member {k}")
        for k, (member, state) in enumerate(zip(self.members, states, strict=True)):
            load_weights(member, state, f"member {k}")


def asked_together(members: Iterable[SegmentationModule], image: Tensor, draws: Draws) -> SegmentationDistribution:
    """Several models' answers along the model axis, each for its share of the draws."""
    models = list(members)
    return SegmentationDistribution.cat([m(image, draws.share(k, len(models))) for k, m in enumerate(models)])


def require_alike(own: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str) -> None:
    """Members of an ensemble have weights of the same names and shapes.

    Raises:
        ProbsegError: E_CLASS_MISMATCH with the first weight in which ``what`` differs.
    """
    for name in [*own, *(name for name in given if name not in own)]:
        if name not in given:
            difference = f"lacks the weight '{name}'"
        elif name not in own:
            difference = f"has a weight '{name}', which the ensemble's members lack"
        elif own[name].shape != given[name].shape:
            shapes = tuple(given[name].shape), tuple(own[name].shape)
            difference = f"has the weight '{name}' in shape {shapes[0]}, the ensemble's members in {shapes[1]}"
        else:
            continue
        raise ProbsegError("E_CLASS_MISMATCH", f"{what} {difference}; all must be one family with the same settings")
