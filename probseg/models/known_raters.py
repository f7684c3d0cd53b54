"""The raters whom a model has learnt, by name and number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from probseg.batch import NOBODY
from probseg.distribution import Draws
from probseg.errors import ProbsegError
from probseg.records import DatasetInfo

__all__ = ["KnownRaters"]


@dataclass(frozen=True)
class KnownRaters:
    """Names of raters; the number of each is its position.

    Attributes:
        names: at least one.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, info: DatasetInfo, family: str) -> KnownRaters:
        """Those of a dataset; E_UNSTABLE_RATERS where its masks are not of the same persons in every case."""
        if not info.raters:
            what = "lists no rater" if info.stable_raters else "says that its raters change from case to case"
            raise ProbsegError(
                "E_UNSTABLE_RATERS",
                f"{family} learns each rater's way of drawing, but dataset '{info.name}' {what}; use a family that "
                "needs no names, such as ProbabilisticUNet, or set raters: {stable: true} where the names are persons",
            )
        return cls(info.raters)

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: str, central: str) -> int:
        """The number of a rater; E_UNKNOWN_RATER where the model has not learnt one of this name.

        Args:
            name: of the rater.
            central: what else could have been asked for.
        """
        if name not in self.names:
            raise ProbsegError(
                "E_UNKNOWN_RATER",
                f"the model has learnt no rater '{name}'; it knows {', '.join(self.names)} and {central}",
            )
        return self.names.index(name)

    def numbers_of(self, info: DatasetInfo) -> Tensor:
        """From a rater's number in a dataset to the number here, `NOBODY` for a stranger; the last entry is for nobody.

        So ``table[batch.rater]`` translates a batch: -1 is the last entry.
        """
        known = [self.names.index(name) if name in self.names else NOBODY for name in info.raters]
        return torch.tensor([*known, NOBODY])

    def order(self, draws: Draws) -> Tensor:
        """``(count,)``: whose reading each draw is. All raters in an order that the seed decides, over and over."""
        shuffled = torch.randperm(len(self.names), generator=draws.generator(0))
        return shuffled[torch.arange(draws.count) % len(self.names)]

    def check_same(self, stored: Mapping[str, Any]) -> None:
        """Refuse weights of other raters: E_CLASS_MISMATCH where a checkpoint's description lists others."""
        names = tuple((stored.get("info") or {}).get("raters", {}).get("names", ()))
        if names != self.names:
            raise ProbsegError(
                "E_CLASS_MISMATCH",
                f"the checkpoint's raters are {', '.join(names) or 'nobody'}, but the data's are "
                f"{', '.join(self.names)}; train anew, or start from its weights with warm_start",
            )
