"""What every way of adapting a model has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from probseg.adapting.site_data import SiteData
from probseg.models import SegmentationModule

__all__ = ["AdaptationMethod", "Adapted"]


@dataclass(frozen=True)
class Adapted:
    """What a method did.

    Attributes:
        done: counts and figures in plain types, for the run's note and for whoever ran it.
        steps: of an optimiser; 0 where there was none.
        beside: writes what belongs beside the new checkpoint, given its path; None for nothing.
    """

    done: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 0
    beside: Callable[[Path], object] | None = None


class AdaptationMethod(ABC):
    """Changes a trained model so that it does better at a site that it was not trained on."""

    labelled: ClassVar[bool]
    """Whether it reads masks of the new site."""

    splits: ClassVar[tuple[str, ...]] = ("train", "validation")
    """From which splits it takes cases unless told otherwise; never ``test``."""

    @abstractmethod
    def __call__(self, model: SegmentationModule, site: SiteData, seed: int) -> Adapted:
        """Change the model in place; it comes and goes in evaluation mode on the CPU.

        Args:
            model: trained elsewhere.
            site: the cases of the new site that it may see.
            seed: of whatever is random.

        Raises:
            ProbsegError: E_USAGE where the method is not for such a model.
        """
