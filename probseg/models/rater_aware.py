"""What the families that tell one rater from another have in common: who is known, and whose reading is asked for."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from probseg.batch import NOBODY
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.models.base import SegmentationModule
from probseg.models.known_raters import KnownRaters
from probseg.models.targets import Target
from probseg.networks.protocol import FeatureNetwork
from probseg.records import DatasetInfo

__all__ = ["RaterAware"]


class RaterAware(SegmentationModule):
    """A family that learns something of each rater by name, and can predict one rater alone.

    Who the raters are is told by `bind`, as the classes are, and travels in the checkpoint. Where the names of a
    dataset's raters are not persons there is nothing to learn of them, and it is refused.

    Args:
        network: a network with ``features`` and ``head``, such as `probseg.networks.UNet`.
        rater: whose readings to predict; None for those of all raters in turn.
        kwargs: those of `SegmentationModule`.

    Attributes:
        central: the name of what stands for all raters; a rater who is called so comes first.
    """

    central: ClassVar[str]
    numbers: Tensor

    def __init__(self, network: nn.Module, rater: str | None = None, **kwargs: Any) -> None:
        super().__init__(network, **kwargs)
        if not isinstance(network, FeatureNetwork):
            raise ProbsegError(
                "E_SCHEMA",
                f"{type(self).__name__} needs a network with features and head, which {type(network).__name__} lacks; "
                "use probseg.networks.UNet",
            )
        self.rater = rater
        self._known: KnownRaters | None = None
        self.register_buffer("numbers", torch.tensor([NOBODY]), persistent=False)

    @abstractmethod
    def make_room(self, raters: int) -> None:
        """Make the parameters of so many raters; called once, when it is known how many there are."""

    @property
    def unet(self) -> FeatureNetwork:
        """The network; a second attribute would write its weights into every checkpoint twice."""
        assert isinstance(self.network, FeatureNetwork)
        return self.network

    @property
    def known(self) -> KnownRaters:
        """Whom the model has learnt, or will."""
        _ = self._bound  # says so where nothing is known yet
        assert self._known is not None
        return self._known

    def bind(self, info: DatasetInfo) -> None:
        """As in `SegmentationModule`; the first time makes the parameters of raters, so make optimisers after it.

        Raises:
            ProbsegError: E_UNSTABLE_RATERS where the data to learn from do not name persons, E_UNKNOWN_RATER where
                ``rater`` is not among them.
        """
        known = self._known or KnownRaters.of(info, type(self).__name__)
        super().bind(info)
        if self._known is None:
            self._known = known
            self.make_room(len(known))
            self.choose_rater(self.rater)
        self.numbers = known.numbers_of(info).to(self.device)

    def setup(self, stage: str) -> None:
        """As in every family; what it is trained on must name its raters, what it is tested on need not."""
        super().setup(stage)
        info = getattr(getattr(self.trainer, "datamodule", None), "info", None)
        if stage == "fit" and info is not None:
            KnownRaters.of(info, type(self).__name__)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As in every family; the weights must be of the same raters."""
        super().on_load_checkpoint(checkpoint)
        self.known.check_same(checkpoint.get("probseg") or {})

    def choose_rater(self, rater: str | None) -> None:
        """Predict this rater, or what stands for all, from now on; None for the raters in turn.

        Raises:
            ProbsegError: E_UNKNOWN_RATER where the model has learnt nobody of this name.
        """
        if rater is not None and not self.is_central(rater):
            self.known.number(rater, self.central)
        self.rater = rater

    def is_central(self, rater: str) -> bool:
        """Whether the name is of what stands for all raters."""
        return rater == self.central and rater not in self.known.names

    def turns(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Numbers of the raters to predict, each once, and for each draw the place of its rater among them."""
        if self.rater is not None:
            return torch.tensor([self.known.number(self.rater, self.central)]), torch.zeros(1, dtype=torch.int64)
        order, raters = self.known.order(draws), len(self.known)
        return order[:raters], torch.arange(draws.count) % raters

    def renumbered(self, target: Target) -> Target:
        """The target with the raters numbered as the model has learnt them, whatever their numbers in the data."""
        return replace(target, rater=self.numbers[target.rater])
