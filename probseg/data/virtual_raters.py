"""Virtual raters: what all raters of a case make together, fused once a case and offered to training as one more mask.

A fusion such as STAPLE judges raters by all that they drew, so it is made of the whole case and never of a slice or a
patch. The result travels behind the raters' masks through cropping and every transform, and `collate` takes
it out of them: nothing that is of raters, no metric above all, counts a virtual one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probseg.case import Case
from probseg.errors import ProbsegError
from probseg.fusion import UNRATED, majority, staple_labels

__all__ = ["Majority", "Staple", "VirtualRater", "check_names", "fused"]


class VirtualRater(ABC):
    """A way to make one mask of all masks of a case.

    Attributes:
        name: by which a target asks for it; must not be a rater's.
    """

    name: str

    @abstractmethod
    def __call__(self, masks: NDArray, rated: NDArray[np.bool_], num_classes: int) -> NDArray[np.uint8]:
        """``(raters, *space)`` labels and booleans to ``space`` labels, `UNRATED` where there is none."""

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result, in plain types: a stored one of other settings is made anew."""
        return {"class": f"{type(self).__module__}.{type(self).__qualname__}", **vars(self)}


class Staple(VirtualRater):
    """The most probable truth by STAPLE over the whole case (Warfield et al. 2004, doi:10.1109/TMI.2004.828354).

    Args:
        tolerance: of `probseg.analysis.staple`; a label needs less than a published sensitivity does.
        max_iterations: likewise.
    """

    name = "STAPLE"

    def __init__(self, tolerance: float = 1e-5, max_iterations: int = 500) -> None:
        if tolerance <= 0 or max_iterations < 1:
            raise ProbsegError(
                "E_SCHEMA",
                "tolerance of Staple must be positive and max_iterations at least 1, but are "
                f"{tolerance} and {max_iterations}",
            )
        self.tolerance = tolerance
        self.max_iterations = max_iterations

    def __call__(self, masks: NDArray, rated: NDArray[np.bool_], num_classes: int) -> NDArray[np.uint8]:
        """See `probseg.fusion.staple_labels`."""
        return staple_labels(masks, rated, num_classes, self.tolerance, self.max_iterations)


class Majority(VirtualRater):
    """The class that most raters gave, ties to the lower class; what `probseg.models.MajorityVote` sees, as a rater."""

    name = "MAJORITY"

    def __call__(self, masks: NDArray, rated: NDArray[np.bool_], num_classes: int) -> NDArray[np.uint8]:
        """See `probseg.fusion.majority`."""
        return majority(masks, rated, num_classes)[0]


def check_names(virtual: Sequence[VirtualRater], raters: Sequence[str]) -> None:
    """Every name must be of one rater only; E_DUPLICATE_RATER says which is not."""
    names = [v.name for v in virtual]
    twice = [name for name in names if names.count(name) > 1 or name in raters]
    if twice:
        raise ProbsegError(
            "E_DUPLICATE_RATER", f"virtual rater '{twice[0]}' is there twice, or a rater is called so; name each once"
        )


def fused(case: Case, virtual: Sequence[VirtualRater], num_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Masks and rated of the virtual raters of a case, both ``(virtual raters, *space)``; 0 where not rated."""
    masks, rated = case.stacked()
    labels = np.stack([v(masks, rated, num_classes) for v in virtual])
    known = labels != UNRATED
    return labels * known, known
