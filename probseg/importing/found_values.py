"""Which values the masks of a release hold: counted as they are read, and refused where they mean nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from probseg.errors import ProbsegError

__all__ = ["FoundValues"]

_ROUNDING = 1e-3  # of values that a slope in the header has made fractions of


class FoundValues:
    """Counts in how many masks each value is.

    Args:
        meaning: name of each value that there may be.
    """

    def __init__(self, meaning: Mapping[int, str]) -> None:
        self.meaning = dict(meaning)
        self.masks = 0
        self._counts: Counter[int] = Counter()

    def whole(self, mask: NDArray, what: str) -> NDArray:
        """The mask as whole numbers; its values are counted.

        Raises:
            ProbsegError: E_UNKNOWN_LABEL for fractions and for values without meaning.
        """
        nearest = np.rint(mask)
        if mask.dtype.kind == "f" and np.abs(mask - nearest).max(initial=0) > _ROUNDING:
            raise ProbsegError("E_UNKNOWN_LABEL", f"{what} must hold whole numbers, but has fractions")
        values = [int(v) for v in np.unique(nearest)]
        strange = [v for v in values if v not in self.meaning]
        if strange:
            said = ", ".join(f"{value} {name}" for value, name in self.meaning.items())
            raise ProbsegError("E_UNKNOWN_LABEL", f"{what} holds the value {strange[0]}, but there may be {said}")
        self.masks += 1
        self._counts.update(values)
        return nearest.astype(np.uint8)

    def lines(self) -> Iterable[str]:
        """What was found, a line for each value."""
        return [f"value {v} {name}: in {self._counts[v]} of {self.masks} masks" for v, name in self.meaning.items()]
