"""What a user may choose of an analysis of raters, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from probseg.analysis.case_agreement import TOLERANCES_MM
from probseg.analysis.ceiling import DEFAULT_MARGINS, check_margins
from probseg.analysis.region import check_region
from probseg.errors import ProbsegError
from probseg.labels import LabelSet

__all__ = ["AgreementSettings"]


@dataclass(frozen=True)
class AgreementSettings:
    """How an agreement is measured.

    Attributes:
        region: where entropy and the figures beyond chance are measured: ``union``, what any rater drew; ``whole``,
            the whole image; or the name of a class or group, such as ``lung``: what any rater calls so.
        tolerances_mm: of surface Dice, rising.
        samples, seed: of the bootstrap over patients.
        margins: figure and how much worse than a rater a model may be in it and still pass for as good; see
            `probseg.analysis.ceiling`.
    """

    region: str = "union"
    tolerances_mm: tuple[float, ...] = TOLERANCES_MM
    samples: int = 1000
    seed: int = 0
    margins: tuple[tuple[str, float], ...] = tuple(DEFAULT_MARGINS.items())

    def __post_init__(self) -> None:
        tolerances = self.tolerances_mm
        if not all(math.isfinite(t) and t >= 0 for t in tolerances) or sorted(set(tolerances)) != list(tolerances):
            raise ProbsegError("E_ARGUMENT", f"tolerances of surface Dice must rise, in mm, but are {list(tolerances)}")
        if self.samples < 1:
            raise ProbsegError("E_ARGUMENT", f"samples of the bootstrap must be 1 or more, but are {self.samples}")

    def checked(self, labels: LabelSet) -> AgreementSettings:
        """The settings themselves; E_ARGUMENT where the region is none of this label set, or a margin of no figure."""
        check_region(self.region, labels)
        check_margins(dict(self.margins), self.tolerances_mm)
        return self

    def region_text(self) -> str:
        """The region in words."""
        named = f"voxels that any rater calls '{self.region}'"
        return {"union": "voxels that any rater drew", "whole": "the whole image"}.get(self.region, named)
