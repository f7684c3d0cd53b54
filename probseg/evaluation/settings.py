"""What a user may choose of an evaluation, checked once and before anything is measured."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from probseg.analysis.failure import FAILURE_DICE
from probseg.errors import ProbsegError

__all__ = ["EvaluationSettings"]


@dataclass(frozen=True)
class EvaluationSettings:
    """How predictions are measured.

    Attributes:
        seen_sites: at which the model was trained; None leaves open whether its uncertainty tells other sites.
        failure_dice: mean Dice with the raters below which a prediction failed.
        level: share of raters, of foreground and of votes that is promised for new patients.
        samples, seed: of the bootstrap over patients.
    """

    seen_sites: tuple[str, ...] | None = None
    failure_dice: float = FAILURE_DICE
    level: float = 0.9
    samples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.failure_dice <= 1:
            raise ProbsegError(
                "E_ARGUMENT", f"failure_dice must be a Dice above 0 up to 1, but is {self.failure_dice:g}"
            )
        if not 0 < self.level < 1:
            raise ProbsegError("E_ARGUMENT", f"level must be a share between 0 and 1, but is {self.level:g}")

    def checked(self, sites: Collection[str]) -> EvaluationSettings:
        """The settings; E_ARGUMENT unless each site seen is one of the cases', and one of the cases' was not seen."""
        known = set(sites)
        if self.seen_sites is not None and (set(self.seen_sites) - known or not known - set(self.seen_sites)):
            of_cases, given = (", ".join(sorted(names)) or "(none)" for names in (known, self.seen_sites))
            raise ProbsegError(
                "E_ARGUMENT",
                f"of the sites {of_cases} some must be seen in training and some not, but seen are {given}",
            )
        return self
